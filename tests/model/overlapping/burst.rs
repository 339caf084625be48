//! A few requests that are sent at once, and what became of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use proptest::{prelude::*, sample::select};

use super::{
    effects::{REPOSITORY, SOURCE, TAGS, USED_BLOBS, USED_MANIFESTS, blob, effects, manifest},
    history::{Effect, Event, Object},
};
use crate::{
    alphabet::{BLOBS, MANIFESTS, sha256},
    call::{Call, Start},
    sequential::line,
    servers::{Reply, Servers},
};

/// A request of a burst.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) server: usize,
    /// How often others go first.
    pub(super) pause: usize,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Call(Call),
    Status,
    Cancel,
    Patch(Option<&'static str>, &'static str),
    Commit(&'static str),
}

impl What {
    pub(super) fn call(self, upload: &str) -> Call {
        let (repository, upload) = (REPOSITORY.to_owned(), upload.to_owned());
        match self {
            Self::Call(call) => call,
            Self::Status => Call::UploadStatus { repository, upload },
            Self::Cancel => Call::CancelUpload { repository, upload },
            Self::Patch(range, body) => {
                let (range, body) = (range.map(str::to_owned), body.as_bytes().to_vec());
                Call::Patch { repository, upload, range, body }
            }
            Self::Commit(whole) => {
                let digest = Some(sha256(whole.as_bytes()));
                Call::PutUpload { repository, upload, digest, range: None, body: Vec::new() }
            }
        }
    }
}

/// A request with its answer, and when they went by.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) server: usize,
    pub(super) call: Call,
    pub(super) reply: Reply,
    pub(super) sent: u64,
    pub(super) answered: u64,
}

impl Sent {
    pub(super) async fn send(
        servers: Arc<Servers>,
        clock: Arc<AtomicU64>,
        server: usize,
        call: Call,
    ) -> Self {
        let sent = clock.fetch_add(1, Ordering::SeqCst);
        let reply = servers.send(server, &call).await;
        let answered = clock.fetch_add(1, Ordering::SeqCst);
        Self { server, call, reply, sent, answered }
    }

    pub(super) fn names_upload(&self) -> bool {
        matches!(self.call, Call::Patch { .. } | Call::PutUpload { .. } | Call::CancelUpload { .. })
    }

    /// Adds it to the history of each object it touched.
    pub(super) fn record(&self, histories: &mut BTreeMap<Object, Vec<Event>>) {
        let effects = effects(&self.call, &self.reply);
        for (object, effect) in effects.unwrap_or_else(|strange| panic!("{strange}")) {
            histories.entry(object).or_default().push(self.event(effect));
        }
    }

    pub(super) fn event(&self, effect: Effect) -> Event {
        let request = line(self.server, &self.call, self.reply.status);
        Event { request, sent: self.sent, answered: self.answered, effect, optional: false }
    }
}

/// Three to six requests that mostly want the same thing.
pub(super) fn burst(servers: usize) -> impl Strategy<Value = Vec<Planned>> {
    let of = move |what: BoxedStrategy<What>| {
        let planned =
            (0..servers, 0..6_usize, what).prop_map(|(server, pause, what)| Planned { server, pause, what });
        prop::collection::vec(planned, 3..7).boxed()
    };
    prop_oneof![
        4 => of(tags_and_manifests().boxed()),
        3 => of(upload().boxed()),
        2 => of(blobs().boxed()),
        2 => of(prop_oneof![tags_and_manifests(), upload(), blobs()].boxed()),
    ]
}

fn tag() -> impl Strategy<Value = String> {
    // The first is meant to be met.
    prop_oneof![3 => Just(TAGS[0]), 1 => Just(TAGS[1])].prop_map(str::to_owned)
}

fn put_manifest() -> impl Strategy<Value = Call> {
    let reference = prop_oneof![3 => tag().prop_map(Some), 1 => Just(None)];
    (0..USED_MANIFESTS.len(), reference, prop::collection::vec(tag(), 0..2)).prop_map(
        |(number, reference, tags)| {
            let body = &MANIFESTS[USED_MANIFESTS[number]];
            Call::PutManifest {
                repository: REPOSITORY.to_owned(),
                reference: reference.unwrap_or_else(|| manifest(number)),
                tags,
                media_type: Some(body.media_type.to_owned()),
                body: body.bytes.clone(),
            }
        },
    )
}

fn tags_and_manifests() -> impl Strategy<Value = What> {
    let repository = || REPOSITORY.to_owned();
    let reference = || prop_oneof![tag(), (0..USED_MANIFESTS.len()).prop_map(manifest)];
    prop_oneof![
        6 => put_manifest(),
        4 => (reference(), any::<bool>()).prop_map(move |(reference, head)| Call::ReadManifest {
            repository: repository(), reference, head, etag: None
        }),
        4 => reference().prop_map(move |reference| Call::DeleteManifest { repository: repository(), reference }),
        1 => Just(Call::ListTags { repository: repository(), n: None, last: None }),
        1 => Just(Call::Referrers { repository: repository(), digest: manifest(0), artifact_type: None }),
    ]
    .prop_map(What::Call)
}

fn upload() -> impl Strategy<Value = What> {
    prop_oneof![
        6 => (prop::option::of(select(&["0-4", "5-9"][..])), select(&["01234", "56789"][..]))
            .prop_map(|(range, body)| What::Patch(range, body)),
        2 => select(&["0123456789", "01234", ""][..]).prop_map(What::Commit),
        1 => Just(What::Status),
        1 => Just(What::Cancel),
    ]
}

fn blobs() -> impl Strategy<Value = What> {
    let name = || prop_oneof![4 => Just(REPOSITORY), 1 => Just(SOURCE)].prop_map(str::to_owned);
    let digest = || (0..USED_BLOBS.len()).prop_map(blob);
    prop_oneof![
        4 => (name(), 0..USED_BLOBS.len()).prop_map(|(repository, number)| {
            let start = Start::Monolithic { digest: blob(number), body: BLOBS[USED_BLOBS[number]].clone() };
            Call::StartUpload { repository, start }
        }),
        2 => digest().prop_map(|digest| {
            let start = Start::Mount { digest, from: Some(SOURCE.to_owned()) };
            Call::StartUpload { repository: REPOSITORY.to_owned(), start }
        }),
        3 => (name(), digest(), any::<bool>()).prop_map(|(repository, digest, head)| {
            Call::ReadBlob { repository, digest, head, range: None, etag: None }
        }),
        2 => (name(), digest()).prop_map(|(repository, digest)| Call::DeleteBlob { repository, digest }),
        2 => put_manifest(),
    ]
    .prop_map(What::Call)
}
