//! Tags that were moved since their repository was read: these are read again, and not the rest.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::oci::{RepositoryName, Tag};

/// Most tags remembered, of all repositories; beyond that all of each is read again.
const MAX_TAGS: usize = 10_000;

/// See the module.
#[derive(Default)]
pub(super) struct Touched(Mutex<State>);

#[derive(Default)]
struct State {
    tags: HashMap<RepositoryName, HashSet<Tag>>,
    /// How many are in `tags`.
    count: usize,
    /// Repositories that are being read now, and will be known.
    reading: HashSet<RepositoryName>,
    /// What was read before this must be read again whole.
    all_before: Option<Instant>,
}

/// A repository that is being read; dropped when what was read is known to all.
pub(super) struct Reading<'a> {
    touched: &'a Touched,
    repository: RepositoryName,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.touched.lock().reading.remove(&self.repository);
    }
}

impl Touched {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a tag of a repository that is known or being read; one that is not is read whole by who wants it.
    pub(super) fn add(&self, repository: &RepositoryName, tag: &Tag, is_known: impl FnOnce() -> bool) {
        let mut state = self.lock();
        if !state.reading.contains(repository) && !is_known() {
            return;
        }
        if state.count >= MAX_TAGS {
            state.tags.clear();
            state.count = 0;
            state.all_before = Some(Instant::now());
        }
        let is_new = state.tags.entry(repository.clone()).or_default().insert(tag.clone());
        state.count += usize::from(is_new);
    }

    /// The tags to read again of a repository, and before when all of it must have been read not to be read again.
    pub(super) fn take(&self, repository: &RepositoryName) -> (HashSet<Tag>, Option<Instant>, Reading<'_>) {
        let mut state = self.lock();
        let tags = state.tags.remove(repository).unwrap_or_default();
        state.count -= tags.len();
        state.reading.insert(repository.clone());
        (tags, state.all_before, Reading { touched: self, repository: repository.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_nobody_looked_at_nothing_is_kept_and_of_the_rest_not_more_than_so_much() {
        let touched = Touched::default();
        let name: RepositoryName = "team/app".parse().unwrap();
        let tag = |number: usize| format!("v{number}").parse::<Tag>().unwrap();
        for number in 0..100_000 {
            touched.add(&name, &tag(number), || false);
        }
        assert!(touched.lock().tags.is_empty());
        for number in 0..100_000 {
            touched.add(&name, &tag(number), || true);
            touched.add(&name, &tag(number), || true);
        }
        let kept: usize = touched.lock().tags.values().map(HashSet::len).sum();
        assert!(0 < kept && kept <= MAX_TAGS, "{kept}");
        assert_eq!(touched.lock().count, kept);
        let (tags, all_before, reading) = touched.take(&name);
        assert!(tags.len() == kept && all_before.is_some());
        // What is moved while it is being read is read again by the next.
        touched.add(&name, &tag(1), || false);
        drop(reading);
        touched.add(&name, &tag(2), || false);
        assert_eq!(touched.take(&name).0, HashSet::from([tag(1)]));
        assert_eq!(touched.lock().count, 0);
    }
}
