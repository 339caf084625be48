//! The newest entries of the journal in memory, in the order of their time, and by repository.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{Action, JournalEntry};
use crate::oci::{RepositoryName, Tag};

/// Most entries kept; each takes some 400 bytes.
pub(super) const CAPACITY: usize = 50_000;

#[derive(Default)]
pub(super) struct Memory {
    entries: VecDeque<Arc<JournalEntry>>,
    by_repository: HashMap<RepositoryName, VecDeque<Arc<JournalEntry>>>,
    last: HashMap<(RepositoryName, Tag), Arc<JournalEntry>>,
    is_sorted: bool,
}

impl Memory {
    /// Takes an entry in, of whatever time.
    pub(super) fn add(&mut self, entry: JournalEntry) {
        let entry = Arc::new(entry);
        self.is_sorted &= self.entries.back().is_none_or(|last| last.at <= entry.at);
        if let Some(repository) = &entry.repository {
            self.by_repository.entry(repository.clone()).or_default().push_back(entry.clone());
            if let Some(tag) = &entry.tag {
                let key = (repository.clone(), tag.clone());
                if self.last.get(&key).is_none_or(|last| last.at <= entry.at) {
                    self.last.insert(key, entry.clone());
                }
            }
        }
        self.entries.push_back(entry);
        if self.entries.len() > CAPACITY + CAPACITY / 10 {
            self.sort();
        }
    }

    /// Puts what came late in its place, and forgets the oldest.
    pub(super) fn sort(&mut self) {
        if !self.is_sorted {
            self.entries.make_contiguous().sort_by_key(|entry| entry.at);
            for entries in self.by_repository.values_mut() {
                entries.make_contiguous().sort_by_key(|entry| entry.at);
            }
            self.is_sorted = true;
        }
        while self.entries.len() > CAPACITY {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, oldest: &Arc<JournalEntry>) {
        let Some(repository) = &oldest.repository else { return };
        if let Some(entries) = self.by_repository.get_mut(repository) {
            entries.retain(|entry| !Arc::ptr_eq(entry, oldest));
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
    pub(super) fn newest(&self) -> impl Iterator<Item = &JournalEntry> {
        self.entries.iter().rev().map(|entry| &**entry)
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
