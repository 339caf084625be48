//! The newest entries of the journal in memory, in the order of their time, and by repository.
//!
//! Failed sign-ins have a ring of their own: whoever may connect makes them, and they must not push out what users did.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{Action, JournalEntry};
use crate::oci::{RepositoryName, Tag};

/// Most entries kept; each takes some 400 bytes.
pub(super) const CAPACITY: usize = 50_000;
/// Most failed sign-ins kept besides.
const FAILURES: usize = 5_000;

#[derive(Default)]
pub(super) struct Memory {
    done: Ring,
    failures: Ring,
    by_repository: HashMap<RepositoryName, VecDeque<Arc<JournalEntry>>>,
    last: HashMap<(RepositoryName, Tag), Arc<JournalEntry>>,
}

/// Entries in the order of their time, once they are sorted.
#[derive(Default)]
struct Ring {
    entries: VecDeque<Arc<JournalEntry>>,
    is_sorted: bool,
}

impl Ring {
    fn add(&mut self, entry: Arc<JournalEntry>) {
        self.is_sorted &= self.entries.back().is_none_or(|last| last.at <= entry.at);
        self.entries.push_back(entry);
    }

    /// Puts what came late in its place; says whether anything did.
    fn sort(&mut self) -> bool {
        if self.is_sorted {
            return false;
        }
        self.entries.make_contiguous().sort_by_key(|entry| entry.at);
        self.is_sorted = true;
        true
    }

    /// Whether so many more than `most` are kept that it is time to forget some.
    fn is_over(&self, most: usize) -> bool {
        self.entries.len() > most + most / 10
    }

    /// The oldest of those that are more than `most`.
    fn pop_over(&mut self, most: usize) -> Option<Arc<JournalEntry>> {
        if self.entries.len() > most { self.entries.pop_front() } else { None }
    }
}

impl Memory {
    /// Takes an entry in, of whatever time.
    pub(super) fn add(&mut self, entry: JournalEntry) {
        let entry = Arc::new(entry);
        if entry.action == Action::SignInFailed {
            self.failures.add(entry);
        } else {
            self.index(&entry);
            self.done.add(entry);
        }
        if self.done.is_over(CAPACITY) || self.failures.is_over(FAILURES) {
            self.sort();
        }
    }

    fn index(&mut self, entry: &Arc<JournalEntry>) {
        let Some(repository) = &entry.repository else { return };
        self.by_repository.entry(repository.clone()).or_default().push_back(entry.clone());
        let Some(tag) = &entry.tag else { return };
        let key = (repository.clone(), tag.clone());
        if self.last.get(&key).is_none_or(|last| last.at <= entry.at) {
            self.last.insert(key, entry.clone());
        }
    }

    /// Puts what came late in its place, and forgets the oldest.
    pub(super) fn sort(&mut self) {
        self.failures.sort();
        while self.failures.pop_over(FAILURES).is_some() {}
        if self.done.sort() {
            for entries in self.by_repository.values_mut() {
                entries.make_contiguous().sort_by_key(|entry| entry.at);
            }
        }
        while let Some(oldest) = self.done.pop_over(CAPACITY) {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, oldest: &Arc<JournalEntry>) {
        let Some(repository) = &oldest.repository else { return };
        if let Some(entries) = self.by_repository.get_mut(repository) {
            // Both are in the same order, so it is the first; moves wait meanwhile, so nothing else is looked at.
            if entries.front().is_some_and(|first| Arc::ptr_eq(first, oldest)) {
                entries.pop_front();
            } else {
                entries.retain(|entry| !Arc::ptr_eq(entry, oldest));
            }
            if entries.is_empty() {
                self.by_repository.remove(repository);
            }
        }
        if let Some(tag) = &oldest.tag {
            let key = (repository.clone(), tag.clone());
            if self.last.get(&key).is_some_and(|last| Arc::ptr_eq(last, oldest)) {
                self.last.remove(&key);
            }
        }
    }

    /// All entries, the newest first.
    pub(super) fn newest(&self) -> Vec<Arc<JournalEntry>> {
        let mut failures = self.failures.entries.iter().rev().peekable();
        let mut all = Vec::with_capacity(self.done.entries.len() + failures.len());
        for entry in self.done.entries.iter().rev() {
            while let Some(failure) = failures.next_if(|failure| failure.at > entry.at) {
                all.push(failure.clone());
            }
            all.push(entry.clone());
        }
        all.extend(failures.cloned());
        all
    }

    /// Those of a repository, the newest first.
    pub(super) fn of_repository(&self, repository: &RepositoryName) -> impl Iterator<Item = &JournalEntry> {
        self.by_repository.get(repository).into_iter().flatten().rev().map(|entry| &**entry)
    }

    /// The last push of a tag, unless it was removed after that.
    pub(super) fn last_move(&self, repository: &RepositoryName, tag: &Tag) -> Option<&JournalEntry> {
        let last = self.last.get(&(repository.clone(), tag.clone()))?;
        (last.action == Action::Push).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(at: i64, tag: &str) -> JournalEntry {
        JournalEntry {
            at,
            repository: Some("team/app".parse().unwrap()),
            tag: Some(tag.parse().unwrap()),
            ..JournalEntry::new(Action::Push, Some("ana"), None)
        }
    }

    fn failure(at: i64) -> JournalEntry {
        JournalEntry { at, ..JournalEntry::new(Action::SignInFailed, None, None) }
    }

    #[test]
    fn failed_sign_ins_push_out_nothing_that_was_done() {
        let mut memory = Memory::default();
        memory.add(push(0, "v1"));
        for at in 0..200_000 {
            memory.add(failure(at));
        }
        memory.sort();
        let name = "team/app".parse().unwrap();
        assert!(memory.last_move(&name, &"v1".parse().unwrap()).is_some());
        assert_eq!(memory.of_repository(&name).count(), 1);
        let all = memory.newest();
        assert_eq!(all.len(), FAILURES + 1);
        assert!(all.is_sorted_by_key(|entry| -entry.at), "both in the order of their time");
    }

    #[test]
    fn the_oldest_are_forgotten_and_quickly() {
        let mut memory = Memory::default();
        let many = i64::try_from(CAPACITY * 4).unwrap();
        let began = std::time::Instant::now();
        for at in 0..many {
            memory.add(push(at, &format!("v{at}")));
        }
        memory.sort();
        // One look at all of the repository for each that is forgotten took minutes here.
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
        let name = "team/app".parse().unwrap();
        let kept: Vec<_> = memory.of_repository(&name).map(|entry| entry.at).collect();
        assert_eq!((kept.len(), kept[0], kept[CAPACITY - 1]), (CAPACITY, many - 1, many - CAPACITY as i64));
        assert!(memory.last_move(&name, &"v0".parse().unwrap()).is_none());
        assert_eq!(memory.last.len(), CAPACITY);
    }
}
