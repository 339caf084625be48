//! Where one request may have more than one effect, or another than its answer says: what the search for an order is
//! allowed to suppose.

use std::collections::BTreeMap;

use super::{
    burst::Sent,
    history::{Effect, Event, Object, Upload},
};
use crate::{
    alphabet::sha256,
    call::{Call, Start},
};

/// A push that finds its manifest deleted by a request that met it publishes it and its tags once more, so that what
/// it acknowledges is there: it may count twice.
pub(super) fn publish_again(burst: &[Sent], events: &mut BTreeMap<Object, Vec<Event>>) {
    for (push, deletion) in burst.iter().flat_map(|push| burst.iter().map(move |deletion| (push, deletion))) {
        let meet = push.sent < deletion.answered && deletion.sent < push.answered;
        let (Call::PutManifest { body, .. }, Call::DeleteManifest { reference, .. }) =
            (&push.call, &deletion.call)
        else {
            continue;
        };
        if !meet || sha256(body) != *reference || (push.reply.status, deletion.reply.status) != (201, 202) {
            continue;
        }
        for history in events.values_mut() {
            let again = |event: &&Event| {
                let publishes = matches!(event.effect, Effect::Put | Effect::Point(_));
                event.sent == push.sent && publishes && !event.optional
            };
            let again = history.iter().find(again).map(|event| Event { optional: true, ..event.clone() });
            history.extend(again);
        }
    }
}

/// A mount looks once more when it has linked the blob; when a deletion that meets it has taken the link away by then,
/// the client is asked to upload, and the deletion has rightly found something to delete.
pub(super) fn mounts_that_were_deleted(burst: &[Sent], events: &mut BTreeMap<Object, Vec<Event>>) {
    for (mount, deletion) in
        burst.iter().flat_map(|mount| burst.iter().map(move |deletion| (mount, deletion)))
    {
        let (Call::StartUpload { repository, start: Start::Mount { digest, .. } }, 202) =
            (&mount.call, mount.reply.status)
        else {
            continue;
        };
        let deleted = Call::DeleteBlob { repository: repository.clone(), digest: digest.clone() };
        let meet = mount.sent < deletion.answered && deletion.sent < mount.answered;
        if !meet || (&deletion.call, deletion.reply.status) != (&deleted, 202) {
            continue;
        }
        let linked = Event { optional: true, ..mount.event(Effect::Put) };
        events.entry(Object::Blob(repository.clone(), digest.clone())).or_default().insert(0, linked);
    }
}

/// A cancellation that meets the last request of its upload may come too late: then both end the upload, which harms
/// nobody. Everywhere else it counts.
pub(super) fn drop_late_cancellations(events: &mut Vec<Event>) {
    let ends: Vec<(u64, u64)> = events
        .iter()
        .filter(|event| {
            let ended = |answer| matches!(answer, Upload::Committed | Upload::WrongDigest);
            matches!(event.effect, Effect::Commit { answer, .. } if ended(answer))
        })
        .map(|event| (event.sent, event.answered))
        .collect();
    events.retain(|event| {
        let late = ends.iter().any(|(sent, answered)| event.sent < *answered && *sent < event.answered);
        !(late && event.effect == Effect::Cancel(true))
    });
}

/// A deletion of a manifest takes its tags before it and, when it is gone, those that were written meanwhile.
pub(super) fn deletions_that_take_tags_twice(events: &mut Vec<Event>) {
    let takes = |event: &&Event| matches!(event.effect, Effect::DeleteIf(_));
    let twice: Vec<Event> =
        events.iter().filter(takes).map(|event| Event { optional: true, ..event.clone() }).collect();
    // Before the others: the last event is what was read last.
    events.splice(0..0, twice);
}

/// A chunk is visible as soon as it is stored; when a cancellation that meets it comes before its answer, it is
/// answered as a chunk of an upload that is not there, and others may have seen its bytes all the same.
pub(super) fn chunks_of_a_cancelled_upload(events: &mut Vec<Event>) {
    let cancellations: Vec<(u64, u64)> = events
        .iter()
        .filter(|event| event.effect == Effect::Cancel(true))
        .map(|event| (event.sent, event.answered))
        .collect();
    let stored = |event: &Event| {
        let Effect::Append { at, bytes, answer: Upload::Unknown } = &event.effect else { return None };
        let met =
            cancellations.iter().any(|(sent, answered)| event.sent < *answered && *sent < event.answered);
        let effect = Effect::Append { at: *at, bytes: bytes.clone(), answer: Upload::Unanswered };
        met.then(|| Event { effect, optional: true, ..event.clone() })
    };
    let stored: Vec<Event> = events.iter().filter_map(stored).collect();
    // Before the others: the last event is what was read last.
    events.splice(0..0, stored);
}

#[cfg(test)]
mod tests {
    use super::super::history::{State, is_linearisable};
    use super::*;
    use crate::servers::Reply;

    fn event(sent: u64, answered: u64, effect: Effect) -> Event {
        Event { request: format!("{effect:?}"), sent, answered, effect, optional: false }
    }

    #[test]
    fn a_chunk_may_be_seen_before_its_upload_is_cancelled_and_not_after() {
        let chunk = Effect::Append { at: None, bytes: b"12345".to_vec(), answer: Upload::Unknown };
        let explained = |length: Upload, cancelled: u64| {
            let mut events = vec![
                event(1, 8, chunk.clone()),
                event(2, 5, Effect::Length(length)),
                event(cancelled, cancelled + 1, Effect::Cancel(true)),
                event(20, 21, Effect::Length(Upload::Unknown)),
            ];
            chunks_of_a_cancelled_upload(&mut events);
            is_linearisable(&State::Holds(Some(Vec::new())), &events)
        };
        assert!(explained(Upload::Stored(5), 6) && explained(Upload::Stored(0), 6));
        assert!(!explained(Upload::Stored(4), 6), "bytes that nobody sent");
        assert!(!explained(Upload::Stored(5), 10), "a chunk refused before there was a cancellation");
    }

    #[test]
    fn a_mount_that_asks_for_an_upload_may_have_been_deleted_and_only_if_it_met_a_deletion() {
        let explained = |mount: (u64, u64), deletion: (u64, u64)| {
            let (repository, digest) = ("a".to_owned(), sha256(b"blob"));
            let sent = |call: Call, status: u16, (sent, answered): (u64, u64)| Sent {
                server: 0,
                call,
                reply: Reply::bare(status),
                sent,
                answered,
            };
            let start = Start::Mount { digest: digest.clone(), from: Some("b".to_owned()) };
            let burst = [
                sent(Call::StartUpload { repository: repository.clone(), start }, 202, mount),
                sent(Call::DeleteBlob { repository, digest }, 202, deletion),
            ];
            let mut events = BTreeMap::new();
            burst.iter().for_each(|sent| sent.record(&mut events));
            mounts_that_were_deleted(&burst, &mut events);
            events.values().all(|events| is_linearisable(&State::There(false), events))
        };
        assert!(explained((1, 4), (2, 3)) && explained((2, 3), (1, 4)));
        assert!(!explained((1, 2), (3, 4)), "what was deleted after the mount was given up was not mounted");
    }

    #[test]
    fn a_tag_may_go_go_again_and_not_come_back_by_itself() {
        let explained = |last: Option<&str>| {
            let mut events = vec![
                event(1, 3, Effect::Point("a".to_owned())),
                event(2, 9, Effect::DeleteIf("a".to_owned())),
                event(4, 5, Effect::ReadTag(None)),
                event(6, 7, Effect::Point("a".to_owned())),
                event(10, 11, Effect::ReadTag(last.map(str::to_owned))),
            ];
            deletions_that_take_tags_twice(&mut events);
            is_linearisable(&State::Names(None), &events)
        };
        assert!(explained(None) && explained(Some("a")));
        assert!(!explained(Some("b")));
    }
}
