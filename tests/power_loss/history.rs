//! What was asked and acknowledged, against positions of the journal; and what may be seen after a cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use pakhuis::oci::Digest;

use crate::{image::Image, strict_file_system::StrictFileSystem};

/// Something a client can look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Thing {
    Blob(&'static str, Digest),
    Manifest(&'static str, Digest),
    /// Repository and tag.
    Tag(&'static str, &'static str),
    /// Repository, subject, referrer.
    Referrer(&'static str, Digest, Digest),
}

impl Thing {
    pub(crate) fn repository(&self) -> &'static str {
        match self {
            Self::Blob(name, _) | Self::Manifest(name, _) | Self::Tag(name, _) | Self::Referrer(name, ..) => {
                name
            }
        }
    }
}

/// What it is: the digest of what it leads to, or nothing when it is not there.
pub(crate) type Seen = Option<Digest>;

/// A request and what it makes of things.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) what: String,
    writes: Vec<(Thing, Seen)>,
    /// What is pushed where and under which tag, when it stands for all requests of a push.
    pub(crate) push: Option<(&'static str, Digest, Option<&'static str>)>,
    /// The position when it was sent.
    begun: usize,
    /// The position when its answer came, or it was certain that it would do nothing more.
    over: Option<usize>,
    acknowledged: bool,
}

/// All requests of a run, and all content they are about.
pub(crate) struct History {
    store: StrictFileSystem,
    requests: Mutex<Vec<Request>>,
    images: Mutex<BTreeMap<Digest, Image>>,
}

/// Names a request that was begun.
#[derive(Clone, Copy)]
pub(crate) struct Begun(usize);

impl History {
    pub(crate) fn new(store: StrictFileSystem) -> Self {
        Self { store, requests: Mutex::default(), images: Mutex::default() }
    }

    /// Before a request is sent.
    pub(crate) fn begin(&self, what: String, writes: Vec<(Thing, Seen)>) -> Begun {
        let begun = self.store.position();
        let mut requests = lock(&self.requests);
        requests.push(Request { what, writes, push: None, begun, over: None, acknowledged: false });
        Begun(requests.len() - 1)
    }

    /// Before the requests that push an image are sent.
    pub(crate) fn begin_push(
        &self,
        repository: &'static str,
        image: &Image,
        tag: Option<&'static str>,
    ) -> Begun {
        let begun = self.begin(format!("push to {repository}"), Vec::new());
        lock(&self.requests)[begun.0].push = Some((repository, image.manifest.digest.clone(), tag));
        begun
    }

    /// When its answer is there, or its server is dead.
    pub(crate) fn end(&self, Begun(number): Begun, acknowledged: bool) {
        let over = self.store.position();
        let request = &mut lock(&self.requests)[number];
        (request.over, request.acknowledged) = (Some(over), acknowledged);
    }

    /// Content that requests are about.
    pub(crate) fn know(&self, image: &Image) {
        lock(&self.images).insert(image.manifest.digest.clone(), image.clone());
    }

    pub(crate) fn images(&self) -> BTreeMap<Digest, Image> {
        lock(&self.images).clone()
    }

    /// What may be seen of each thing after a cut at `position`.
    pub(crate) fn expected(&self, position: usize) -> BTreeMap<Thing, BTreeSet<Seen>> {
        let requests = lock(&self.requests);
        let mut by_thing: BTreeMap<&Thing, Vec<(&Request, &Seen)>> = BTreeMap::new();
        for request in requests.iter().filter(|request| request.begun <= position) {
            for (thing, seen) in &request.writes {
                by_thing.entry(thing).or_default().push((request, seen));
            }
        }
        by_thing.into_iter().map(|(thing, writes)| (thing.clone(), possible(&writes, position))).collect()
    }

    /// The requests that were on their way at `position`.
    pub(crate) fn under_way(&self, position: usize) -> Vec<Request> {
        let on_its_way =
            |request: &&Request| request.begun <= position && request.over.is_none_or(|over| over > position);
        lock(&self.requests).iter().filter(on_its_way).cloned().collect()
    }

    /// How many requests were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        lock(&self.requests).iter().filter(|request| request.acknowledged).count()
    }
}

/// Nothing, and what was written, less what an acknowledged request that began later has certainly replaced. Later is
/// also later in the list: a request that finds everything done begins and ends at one position.
fn possible(writes: &[(&Request, &Seen)], position: usize) -> BTreeSet<Seen> {
    let replaced = |over: Option<usize>, after: usize| {
        writes[after..].iter().any(|(later, _)| {
            later.acknowledged
                && later.over.is_some_and(|end| end <= position)
                && over.is_some_and(|over| over <= later.begun)
        })
    };
    let initially = (!replaced(Some(0), 0)).then_some(None);
    let written =
        writes.iter().enumerate().filter(|(number, (request, _))| !replaced(request.over, number + 1));
    initially.into_iter().chain(written.map(|(_, (_, seen))| (*seen).clone())).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use pakhuis::oci::Algorithm;

    use super::*;

    #[test]
    fn what_finds_everything_done_replaces_nothing_but_what_was_before() {
        let pushed = Some(Digest::of(Algorithm::Sha256, b"pushed"));
        let request = |begun, over| Request {
            what: String::new(),
            writes: Vec::new(),
            push: None,
            begun,
            over: Some(over),
            acknowledged: true,
        };
        let (first, again, deleted) = (request(1, 5), request(5, 5), request(6, 8));
        let writes = [(&first, &pushed), (&again, &pushed), (&again, &pushed)];
        assert_eq!(possible(&writes, 5), BTreeSet::from([pushed.clone()]));
        let writes = [(&first, &pushed), (&again, &pushed), (&deleted, &None)];
        assert_eq!(possible(&writes, 7), BTreeSet::from([None, pushed.clone()]));
        assert_eq!(possible(&writes, 8), BTreeSet::from([None]));
    }
}
