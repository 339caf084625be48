//! Is there an order of some requests, each at one instant between its start and its answer, that explains all
//! answers? The search of Wing and Gong, as in Porcupine, over the history of one object: histories of objects that
//! are each linearisable are linearisable together (Herlihy and Wing, 1990).

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
};

use crate::alphabet::{sha256, sha512};

/// Something that has a state of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Blob(String, String),
    Manifest(String, String),
    /// A manifest, as the list of referrers has it: it comes a moment after the manifest.
    Referrer(String, String),
    Tag(String, String),
    /// A tag, as the list of tags has it: it comes a moment before what it names, and goes a moment after.
    ListedTag(String, String),
    Upload(String),
}

/// The state of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// Whether a blob or a manifest is there.
    There(bool),
    /// What a tag names.
    Names(Option<String>),
    /// The bytes of an upload, while it goes on.
    Holds(Option<Vec<u8>>),
}

/// What a request did to an object, by its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Put,
    /// Whether there was something to delete.
    Delete(bool),
    Read(bool),
    /// It is gone, whether it was there or not.
    Remove,
    Point(String),
    /// The manifest was deleted: a tag that names it goes.
    DeleteIf(String),
    ReadTag(Option<String>),
    /// Appends at an offset, if named; the answer is how many bytes there are then.
    Append {
        at: Option<usize>,
        bytes: Vec<u8>,
        answer: Upload,
    },
    /// As `Append`, and makes it a blob if its digest is this.
    Commit {
        digest: String,
        bytes: Vec<u8>,
        answer: Upload,
    },
    Length(Upload),
    Cancel(bool),
}

/// How a request to an upload was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    Stored(usize),
    /// A chunk did not begin where the upload ends, which is here.
    OutOfOrder(usize),
    Committed,
    WrongDigest,
    Unknown,
    /// It was stored, and nobody was told.
    Unanswered,
}

/// A request's part in the history of one object.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Which request it was, in the words of the log.
    pub(super) request: String,
    /// When it was sent, by a clock that counts.
    pub(super) sent: u64,
    /// When its answer had come.
    pub(super) answered: u64,
    pub(super) effect: Effect,
    /// Whether it may as well not have happened.
    pub(super) optional: bool,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:3} to {:3}] {}", self.sent, self.answered, self.request)
    }
}

/// Whether some order of the events leads from `initial` through all their answers.
pub(super) fn is_linearisable(initial: &State, events: &[Event]) -> bool {
    let mut seen = HashSet::new();
    search(initial, events, &BTreeSet::new(), &mut seen)
}

fn search(
    state: &State,
    events: &[Event],
    done: &BTreeSet<usize>,
    seen: &mut HashSet<(State, BTreeSet<usize>)>,
) -> bool {
    let left = || (0..events.len()).filter(|index| !done.contains(index));
    if left().all(|index| events[index].optional) {
        return true;
    }
    if !seen.insert((state.clone(), done.clone())) {
        return false;
    }
    // What was sent after another was answered comes after it.
    let needed = left().filter(|index| !events[*index].optional);
    let first_answer = needed.map(|index| events[index].answered).min().unwrap_or(u64::MAX);
    left().filter(|index| events[*index].sent < first_answer).any(|index| {
        apply(state, &events[index].effect).is_some_and(|next| {
            let mut done = done.clone();
            done.insert(index);
            search(&next, events, &done, seen)
        })
    })
}

/// The state after an event, if its answer is right in this state.
fn apply(state: &State, effect: &Effect) -> Option<State> {
    match (state, effect) {
        (State::There(_), Effect::Put) => Some(State::There(true)),
        (State::There(there), Effect::Delete(found)) => (there == found).then_some(State::There(false)),
        (State::There(_), Effect::Remove) => Some(State::There(false)),
        (State::There(there), Effect::Read(found)) => (there == found).then(|| state.clone()),
        (State::Names(_), Effect::Point(digest)) => Some(State::Names(Some(digest.clone()))),
        (State::Names(names), Effect::Delete(found)) => {
            (names.is_some() == *found).then_some(State::Names(None))
        }
        (State::Names(_), Effect::Remove) => Some(State::Names(None)),
        (State::Names(names), Effect::DeleteIf(digest)) => {
            Some(State::Names(names.clone().filter(|named| named != digest)))
        }
        (State::Names(names), Effect::ReadTag(found)) => (names == found).then(|| state.clone()),
        (State::Names(names), Effect::Read(found)) => (names.is_some() == *found).then(|| state.clone()),
        (State::Holds(holds), effect) => apply_to_upload(holds.as_deref(), effect).map(State::Holds),
        _ => None,
    }
}

fn apply_to_upload(holds: Option<&[u8]>, effect: &Effect) -> Option<Option<Vec<u8>>> {
    let same = || Some(holds.map(<[u8]>::to_vec));
    let Some(content) = holds else {
        return match effect {
            Effect::Append { answer: Upload::Unknown, .. }
            | Effect::Commit { answer: Upload::Unknown, .. }
            | Effect::Length(Upload::Unknown)
            | Effect::Cancel(false) => Some(None),
            _ => None,
        };
    };
    match effect {
        Effect::Append { at, answer: Upload::OutOfOrder(length), .. } => {
            (content.len() == *length && *at != Some(*length)).then(same)?
        }
        Effect::Append { at, bytes, answer: Upload::Stored(length) } => {
            let appended = [content, bytes].concat();
            let right = appended.len() == *length && at.is_none_or(|at| at == content.len());
            right.then_some(Some(appended))
        }
        Effect::Append { at, bytes, answer: Upload::Unanswered } => {
            at.is_none_or(|at| at == content.len()).then(|| Some([content, bytes].concat()))
        }
        Effect::Commit { digest, bytes, answer } => {
            let whole = [content, bytes].concat();
            let right = sha256(&whole) == *digest || sha512(&whole) == *digest;
            let expected = if right { Upload::Committed } else { Upload::WrongDigest };
            (*answer == expected).then_some(None)
        }
        Effect::Length(Upload::Stored(length)) => (content.len() == *length).then(same)?,
        Effect::Cancel(true) => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sent: u64, answered: u64, effect: Effect) -> Event {
        Event { request: format!("{effect:?}"), sent, answered, effect, optional: false }
    }

    fn tag(events: &[(u64, u64, Effect)]) -> bool {
        let events: Vec<Event> =
            events.iter().map(|(sent, answered, effect)| event(*sent, *answered, effect.clone())).collect();
        is_linearisable(&State::Names(None), &events)
    }

    fn point(digest: &str) -> Effect {
        Effect::Point(digest.to_owned())
    }

    fn read(digest: &str) -> Effect {
        Effect::ReadTag(Some(digest.to_owned()))
    }

    #[test]
    fn requests_at_once_may_be_in_either_order() {
        assert!(tag(&[(1, 4, point("a")), (2, 3, point("b")), (5, 6, read("a"))]));
        assert!(tag(&[(1, 4, point("a")), (2, 3, point("b")), (5, 6, read("b"))]));
        assert!(tag(&[(1, 9, point("a")), (2, 3, Effect::ReadTag(None)), (4, 5, read("a"))]));
    }

    #[test]
    fn a_stale_answer_is_found() {
        assert!(!tag(&[(1, 2, point("a")), (3, 4, point("b")), (5, 6, read("a"))]));
        assert!(!tag(&[(1, 2, point("a")), (3, 4, Effect::ReadTag(None))]));
    }

    #[test]
    fn an_answer_cannot_be_taken_back() {
        assert!(!tag(&[(1, 9, point("a")), (2, 3, read("a")), (4, 5, Effect::ReadTag(None))]));
        assert!(!tag(&[
            (1, 9, point("a")),
            (2, 8, point("b")),
            (3, 4, read("a")),
            (4, 5, read("b")),
            (6, 7, read("a"))
        ]));
    }

    #[test]
    fn one_tag_is_deleted_once() {
        let both = [(1, 2, point("a")), (3, 6, Effect::Delete(true)), (4, 5, Effect::Delete(true))];
        assert!(!tag(&both));
    }

    #[test]
    fn chunks_that_are_both_acknowledged_are_both_there() {
        let append =
            |answer| Effect::Append { at: None, bytes: b"12345".to_vec(), answer: Upload::Stored(answer) };
        let uploads = |answers: [usize; 2]| {
            let events = [event(1, 4, append(answers[0])), event(2, 3, append(answers[1]))];
            is_linearisable(&State::Holds(Some(Vec::new())), &events)
        };
        assert!(uploads([5, 10]) && uploads([10, 5]));
        assert!(!uploads([5, 5]) && !uploads([10, 10]));
    }
}
