//! Several requests at once, to different servers: for each object there is an order of them that explains every
//! answer, and what is read afterwards through any server.
//!
//! The requests and the order in which they set out follow from the seed. How the calls on the volume fall between
//! each other does not: that is the kernel's choice, so a run that is repeated takes the same requests through other
//! interleavings. What did happen is recorded, and printed for the object in question.

mod allowances;
mod burst;
mod effects;
mod history;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use crate::{
    alphabet::{BLOBS, sha256},
    call::{Call, Start},
    random::{number_from, seed_from},
    sequential::{OPERATIONS, line, runner},
    servers::{Reply, SERVERS, Servers},
};
use allowances::{
    chunks_of_a_cancelled_upload, deletions_that_take_tags_twice, drop_late_cancellations,
    mounts_that_were_deleted, publish_again,
};
use burst::{Sent, burst};
use effects::{REPOSITORY, SOURCE, TAGS, USED_BLOBS, USED_MANIFESTS, blob, manifest};
use history::{Effect, Event, Object, State, is_linearisable};

/// Bursts on one volume before the next begins empty.
const BURSTS: u64 = 40;

#[test]
fn requests_at_once_have_an_order() {
    let seed = seed_from("PAKHUIS_MODEL_SEED");
    let operations = number_from("PAKHUIS_MODEL_OPERATIONS").unwrap_or(OPERATIONS) / 4;
    println!("PAKHUIS_MODEL_SEED={seed}, a quarter of the operations at once: {operations}");
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let mut totals = Totals::default();
    let mut runner = runner(seed, 1);
    while totals.requests < operations {
        runtime.block_on(one_volume(&mut runner, &mut totals));
    }
    println!(
        "model: {} requests at once in {} bursts to {SERVERS} servers, {} histories of one object each have an order, \
         {} answers `in use`, {} reads afterwards, {:.1} s",
        totals.requests,
        totals.bursts,
        totals.histories,
        totals.in_use,
        totals.reads,
        started.elapsed().as_secs_f64()
    );
    assert!(totals.histories > totals.bursts, "most bursts touch some object twice");
}

#[derive(Default)]
struct Totals {
    requests: u64,
    bursts: u64,
    histories: u64,
    in_use: u64,
    reads: u64,
}

async fn one_volume(runner: &mut TestRunner, totals: &mut Totals) {
    let mut world = World::start().await;
    for _ in 0..BURSTS {
        let upload = world.start_upload().await;
        let burst = burst(SERVERS).new_tree(runner).unwrap().current();
        let mut events = BTreeMap::new();
        let sent = world.send_at_once(burst, &upload).await;
        totals.requests += sent.len() as u64;
        totals.in_use += sent.iter().filter(|sent| sent.reply.status == 409).count() as u64;
        check_in_use(&sent);
        for sent in &sent {
            sent.record(&mut events);
        }
        publish_again(&sent, &mut events);
        mounts_that_were_deleted(&sent, &mut events);
        let overlapping = events.values().filter(|events: &&Vec<Event>| events.len() > 1).count();
        totals.histories += overlapping as u64;
        let read = world.read_all(&upload).await;
        totals.reads += read.len() as u64;
        for sent in &read {
            sent.record(&mut events);
        }
        world.check(events, &sent);
        totals.bursts += 1;
    }
}

/// An upload is refused only to who meets another that writes to it.
fn check_in_use(burst: &[Sent]) {
    for refused in burst.iter().filter(|sent| sent.reply.status == 409) {
        let meets = |other: &&Sent| {
            other.reply.status != 409 && other.sent < refused.answered && refused.sent < other.answered
        };
        let writes = |sent: &&Sent| !matches!(sent.call, Call::UploadStatus { .. }) && sent.names_upload();
        assert!(
            burst.iter().filter(writes).any(|other| meets(&other)),
            "an upload is said to be in use, and is not\n{}",
            log(burst)
        );
    }
}

/// The repository, digest and tags of a push of a manifest.
fn pushed(call: &Call) -> Option<(&String, String, Vec<String>)> {
    let Call::PutManifest { repository, reference, tags, body, .. } = call else { return None };
    let own = (!reference.contains(':')).then_some(reference);
    Some((repository, sha256(body), own.into_iter().chain(tags).cloned().collect()))
}

fn log(burst: &[Sent]) -> String {
    let lines = burst.iter().map(|sent| {
        let line = line(sent.server, &sent.call, sent.reply.status);
        format!("[{:3} to {:3}] {line}", sent.sent, sent.answered)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Servers, and what is known of every object between two bursts.
struct World {
    servers: Arc<Servers>,
    clock: Arc<AtomicU64>,
    known: BTreeMap<Object, State>,
}

impl World {
    /// Two repositories with the blobs that the manifests need.
    async fn start() -> Self {
        let servers = Arc::new(Servers::start(SERVERS));
        let mut world = Self { servers, clock: Arc::default(), known: BTreeMap::new() };
        let mut put = BTreeMap::new();
        for repository in [REPOSITORY, SOURCE] {
            for number in 0..USED_BLOBS.len() {
                let start =
                    Start::Monolithic { digest: blob(number), body: BLOBS[USED_BLOBS[number]].clone() };
                let call = Call::StartUpload { repository: repository.to_owned(), start };
                world.send(number % SERVERS, call).await.record(&mut put);
            }
        }
        world.check(put, &[]);
        world
    }

    async fn send(&self, server: usize, call: Call) -> Sent {
        Sent::send(self.servers.clone(), self.clock.clone(), server, call).await
    }

    async fn start_upload(&mut self) -> String {
        let call = Call::StartUpload { repository: REPOSITORY.to_owned(), start: Start::Plain };
        let reply: Reply = self.send(0, call).await.reply;
        let upload = reply.find("docker-upload-uuid").unwrap().to_owned();
        self.known.insert(Object::Upload(upload.clone()), State::Holds(Some(Vec::new())));
        upload
    }

    async fn send_at_once(&self, burst: Vec<burst::Planned>, upload: &str) -> Vec<Sent> {
        let tasks: Vec<_> = burst
            .into_iter()
            .map(|planned| {
                let (servers, clock) = (self.servers.clone(), self.clock.clone());
                let call = planned.what.call(upload);
                tokio::spawn(async move {
                    for _ in 0..planned.pause {
                        tokio::task::yield_now().await;
                    }
                    Sent::send(servers, clock, planned.server, call).await
                })
            })
            .collect();
        let mut sent = Vec::new();
        for task in tasks {
            sent.push(task.await.unwrap());
        }
        sent.sort_by_key(|sent| sent.sent);
        sent
    }

    /// When all is quiet: everything, through the servers in turn.
    async fn read_all(&self, upload: &str) -> Vec<Sent> {
        let repository = || REPOSITORY.to_owned();
        let mut calls = vec![
            Call::ListTags { repository: repository(), n: None, last: None },
            Call::Referrers { repository: repository(), digest: manifest(0), artifact_type: None },
            Call::UploadStatus { repository: repository(), upload: upload.to_owned() },
        ];
        let (range, etag, head) = (None, None, true);
        for name in [REPOSITORY, SOURCE] {
            calls.extend((0..USED_BLOBS.len()).map(|number| Call::ReadBlob {
                repository: name.to_owned(),
                digest: blob(number),
                head,
                range: range.clone(),
                etag: etag.clone(),
            }));
        }
        let references = TAGS.map(str::to_owned).into_iter().chain((0..USED_MANIFESTS.len()).map(manifest));
        calls.extend(references.map(|reference| Call::ReadManifest {
            repository: repository(),
            reference,
            head,
            etag: etag.clone(),
        }));
        let mut read = Vec::new();
        for (number, call) in calls.into_iter().enumerate() {
            read.push(self.send((number + upload.len()) % SERVERS, call).await);
        }
        read
    }

    /// Looks for the order of each object's events, and takes what was read last as what is known.
    fn check(&mut self, events: BTreeMap<Object, Vec<Event>>, burst: &[Sent]) {
        for (object, mut events) in events {
            let initial = self.known.get(&object).cloned().unwrap_or_else(|| absent(&object));
            drop_late_cancellations(&mut events);
            chunks_of_a_cancelled_upload(&mut events);
            deletions_that_take_tags_twice(&mut events);
            if !is_linearisable(&initial, &events) {
                let history: Vec<String> = events.iter().map(ToString::to_string).collect();
                panic!(
                    "no order explains the answers about {object:?}, which was {initial:?}\n{}\nin\n{}",
                    history.join("\n"),
                    log(burst)
                );
            }
            let last = events.last().and_then(|event| match &event.effect {
                Effect::Put => Some(State::There(true)),
                Effect::Read(there) => Some(State::There(*there)),
                Effect::ReadTag(names) => Some(State::Names(names.clone())),
                _ => None,
            });
            self.known.insert(object, last.unwrap_or(initial));
        }
        self.check_tags_of_what_is_there(burst);
        self.settle(burst);
    }

    /// A deletion of a manifest that met pushes of it with a tag takes both the manifest and the tag, or neither.
    fn check_tags_of_what_is_there(&self, burst: &[Sent]) {
        for sent in burst.iter().filter(|sent| sent.reply.status == 201) {
            let Some((repository, digest, tags)) = pushed(&sent.call) else { continue };
            let there = self.known.get(&Object::Manifest(repository.clone(), digest.clone()));
            let alone = |tag: &&String| {
                burst.iter().all(|other| match &other.call {
                    Call::DeleteManifest { reference, .. } => reference != *tag,
                    call => pushed(call).is_none_or(|(_, of, tags)| (of == digest) == tags.contains(*tag)),
                })
            };
            for tag in tags.iter().filter(alone) {
                let named = self.known.get(&Object::Tag(repository.clone(), tag.clone()));
                assert!(
                    there != Some(&State::There(true)) || named == Some(&State::Names(Some(digest.clone()))),
                    "{tag} is {named:?}, and {digest}, with which it was pushed, is there\n{}",
                    log(burst)
                );
            }
        }
    }

    /// Between bursts the lists agree with what can be read.
    fn settle(&mut self, burst: &[Sent]) {
        let known = self.known.clone();
        for (object, state) in &known {
            match (object, state) {
                (Object::ListedTag(repository, tag), State::There(listed)) => {
                    let tag = Object::Tag(repository.clone(), tag.clone());
                    let named = known.get(&tag).cloned().unwrap_or(State::Names(None));
                    assert_eq!(
                        *listed,
                        named != State::Names(None),
                        "{tag:?} is listed: {listed}, and {named:?}\n{}",
                        log(burst)
                    );
                    self.known.insert(object.clone(), named);
                }
                (Object::Referrer(repository, digest), listed @ State::There(_)) => {
                    let manifest = Object::Manifest(repository.clone(), digest.clone());
                    assert_eq!(
                        known.get(&manifest),
                        Some(listed),
                        "{manifest:?} and its place in the list\n{}",
                        log(burst)
                    );
                }
                _ => {}
            }
        }
    }
}

fn absent(object: &Object) -> State {
    match object {
        Object::Tag(..) | Object::ListedTag(..) => State::Names(None),
        Object::Upload(_) => State::Holds(None),
        _ => State::There(false),
    }
}
