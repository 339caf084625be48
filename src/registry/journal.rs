//! The journal: who moved which tag from what to what, and other things people did. For people to look at.
//!
//! An entry is written within a second, on no request's way, into a file of this process on the volume; the files of
//! other servers are read as they grow. The newest entries are kept in memory. A crash may lose the last second.

mod entry;
mod following;
mod memory;
mod writing;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

pub use entry::{Action, JournalEntry};

use self::memory::Memory;
use super::{Registry, RegistryError};
use crate::oci::{Digest, RepositoryName, Tag};

/// Most entries that wait to be written: more are lost, and that is logged.
const MAX_WAITING: usize = 20_000;
/// Failed sign-ins noted a minute: a flood of them must not fill the volume.
const FAILURES_A_MINUTE: u32 = 60;
/// What the name of a file ends with that holds failed sign-ins alone: of these only the end is read.
const FAILURES: &str = "-failures";

/// The journal of one process.
pub(super) struct Journal {
    writer: String,
    state: Mutex<State>,
    /// Held by who reads what other servers wrote.
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    memory: Memory,
    waiting: Vec<JournalEntry>,
    /// Whether some of what waits could not be written before, and may have left half a line.
    is_retry: bool,
    /// How far each file of another process has been read.
    read: BTreeMap<(String, String), u64>,
    followed: Option<Instant>,
    /// Whether it was read to its end once.
    is_whole: bool,
    /// The oldest day in which other servers may have written since it was read last.
    since: Option<String>,
    minute: Option<(Instant, u32)>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self { writer: Uuid::new_v4().simple().to_string(), state: Mutex::default(), reading: Arc::default() }
    }

    /// Whether all of it was read a moment ago.
    fn is_fresh(&self) -> bool {
        let state = self.lock();
        state.is_whole && state.followed.is_some_and(|at| at.elapsed() < following::FOLLOW_EVERY)
    }

    /// Forgets when it was read last, so that the next page reads it again.
    #[cfg(test)]
    pub(super) fn look_again(&self) {
        self.lock().followed = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Notes what somebody did. Cheap: it is written later.
    pub fn note(&self, entry: JournalEntry) {
        let mut state = self.inner.journal.lock();
        if entry.action == Action::SignInFailed && !state.may_note_failure() {
            return;
        }
        if state.waiting.len() >= MAX_WAITING {
            tracing::error!("the journal cannot be written; an entry is lost");
            return;
        }
        state.waiting.push(entry.clone());
        state.memory.add(entry);
    }

    /// The newest entries that `wanted` takes, the newest first, and whether there are more.
    pub async fn journal(
        &self,
        skip: usize,
        limit: usize,
        wanted: impl Fn(&JournalEntry) -> bool + Send + 'static,
    ) -> Result<(Vec<JournalEntry>, bool), RegistryError> {
        self.follow_journal().await?;
        let registry = self.clone();
        self.compute(move || {
            // Pushes wait for the lock: what is wanted is found without it.
            let all = registry.inner.journal.lock().memory.newest();
            let mut found = all.iter().filter(|entry| wanted(entry)).skip(skip);
            let entries = found.by_ref().take(limit).map(|entry| JournalEntry::clone(entry)).collect();
            (entries, found.next().is_some())
        })
        .await
    }

    /// What is known of a tag, the newest first.
    pub async fn tag_history(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, RegistryError> {
        self.follow_journal().await?;
        let state = self.inner.journal.lock();
        let history = state.memory.of_repository(repository).filter(|entry| entry.tag.as_ref() == Some(tag));
        Ok(history.take(limit).cloned().collect())
    }

    /// Who pushed what tags of a repository name now. An entry that says that a tag names something else is not the
    /// last: a registry:2 wrote after it, or the journal was not.
    pub(super) fn pushes<'a>(
        &self,
        repository: &RepositoryName,
        tags: impl Iterator<Item = (&'a Tag, &'a Digest)>,
    ) -> Vec<Option<JournalEntry>> {
        let state = self.inner.journal.lock();
        let push = |(tag, digest): (&Tag, &Digest)| {
            let entry = state.memory.last_move(repository, tag)?;
            (entry.now.as_ref() == Some(digest)).then(|| entry.clone())
        };
        tags.map(push).collect()
    }
}

impl State {
    fn may_note_failure(&mut self) -> bool {
        match &mut self.minute {
            Some((since, count)) if since.elapsed() < Duration::from_secs(60) => {
                *count += 1;
                *count <= FAILURES_A_MINUTE
            }
            minute => {
                *minute = Some((Instant::now(), 1));
                true
            }
        }
    }
}

/// Whether a file is one of those that a process writes.
fn is_of(file: &str, writer: &str) -> bool {
    file.strip_prefix(writer).is_some_and(|rest| rest.is_empty() || rest == FAILURES)
}
