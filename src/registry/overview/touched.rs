//! Tags and manifests that changed since their repository was read: these are read again, and not the rest.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::oci::{Digest, RepositoryName, Tag};

/// Most tags and manifests remembered, of all repositories; beyond that all of each is read again.
const MOST: usize = 10_000;

/// See the module.
#[derive(Default)]
pub(super) struct Touched(Mutex<State>);

/// What changed in a repository, or may have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) tags: HashSet<Tag>,
    /// Pushed or deleted: the names of directories alone do not say which are there.
    pub(super) manifests: HashSet<Digest>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.tags.len() + self.manifests.len()
    }
}

#[derive(Default)]
struct State {
    changes: HashMap<RepositoryName, Changes>,
    /// How many are in `changes`.
    count: usize,
    /// Repositories that are being read now, and will be known.
    reading: HashSet<RepositoryName>,
    /// What was read before this must be read again whole.
    all_before: Option<Instant>,
}

impl State {
    fn add(
        &mut self,
        repository: &RepositoryName,
        tags: impl Iterator<Item = Tag>,
        manifests: impl Iterator<Item = Digest>,
    ) {
        if self.count >= MOST {
            self.changes.clear();
            self.count = 0;
            self.all_before = Some(Instant::now());
        }
        let changes = self.changes.entry(repository.clone()).or_default();
        let before = changes.len();
        changes.tags.extend(tags);
        changes.manifests.extend(manifests);
        self.count += changes.len() - before;
    }
}

/// A repository that is being read; dropped when what was read is known to all. What it was to read of what changed is
/// to be read by the next unless it ends well: a panic is no reason to show what was before.
pub(super) struct Reading<'a> {
    touched: &'a Touched,
    repository: RepositoryName,
    /// What to read again.
    pub(super) changes: Changes,
    /// Before when all of it must have been read not to be read again whole.
    pub(super) all_before: Option<Instant>,
}

impl Reading<'_> {
    /// What was to be read is known to all.
    pub(super) fn done(mut self) {
        self.changes = Changes::default();
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.touched.lock();
        state.reading.remove(&self.repository);
        let Changes { tags, manifests } = mem::take(&mut self.changes);
        if !tags.is_empty() || !manifests.is_empty() {
            state.add(&self.repository, tags.into_iter(), manifests.into_iter());
        }
    }
}

impl Touched {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what changed in a repository that is known or being read; one that is not is read whole by who wants
    /// it.
    pub(super) fn add<'a>(
        &self,
        repository: &RepositoryName,
        tags: impl IntoIterator<Item = &'a Tag>,
        manifests: impl IntoIterator<Item = &'a Digest>,
        is_known: impl FnOnce() -> bool,
    ) {
        let mut state = self.lock();
        if state.reading.contains(repository) || is_known() {
            state.add(repository, tags.into_iter().cloned(), manifests.into_iter().cloned());
        }
    }

    /// Takes what to read again of a repository.
    pub(super) fn take(&self, repository: &RepositoryName) -> Reading<'_> {
        let mut state = self.lock();
        let changes = state.changes.remove(repository).unwrap_or_default();
        state.count -= changes.len();
        state.reading.insert(repository.clone());
        Reading { touched: self, repository: repository.clone(), changes, all_before: state.all_before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(number: usize) -> Tag {
        format!("v{number}").parse().unwrap()
    }

    #[test]
    fn of_what_nobody_looked_at_nothing_is_kept_and_of_the_rest_not_more_than_so_much() {
        let touched = Touched::default();
        let name: RepositoryName = "team/app".parse().unwrap();
        for number in 0..100_000 {
            touched.add(&name, &[tag(number)], None, || false);
        }
        assert!(touched.lock().changes.is_empty());
        for number in 0..100_000 {
            touched.add(&name, &[tag(number)], None, || true);
            touched.add(&name, &[tag(number)], None, || true);
        }
        let kept: usize = touched.lock().changes.values().map(Changes::len).sum();
        assert!(0 < kept && kept <= MOST, "{kept}");
        assert_eq!(touched.lock().count, kept);
        let reading = touched.take(&name);
        assert!(reading.changes.len() == kept && reading.all_before.is_some());
        // What is moved while it is being read is read again by the next.
        touched.add(&name, &[tag(1)], None, || false);
        reading.done();
        touched.add(&name, &[tag(2)], None, || false);
        assert_eq!(touched.take(&name).changes.tags, HashSet::from([tag(1)]));
    }

    #[test]
    fn what_was_not_read_to_its_end_is_read_by_the_next() {
        let touched = Touched::default();
        let name: RepositoryName = "team/app".parse().unwrap();
        let digest = Digest::of(crate::oci::Algorithm::Sha256, b"one");
        touched.add(&name, &[tag(1)], Some(&digest), || true);
        std::thread::scope(|scope| {
            let read = || {
                let _reading = touched.take(&name);
                panic!("as a bug would");
            };
            assert!(scope.spawn(read).join().is_err());
        });
        let reading = touched.take(&name);
        assert_eq!((reading.changes.tags.len(), reading.changes.manifests.len()), (1, 1));
        reading.done();
        assert!(touched.take(&name).changes.is_empty());
        assert_eq!(touched.lock().count, 0);
    }
}
