//! What other servers write into the journal, read as it grows. One reads at a time: two would take the same lines
//! twice.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{JournalEntry, is_of, memory};
use crate::{
    registry::{Registry, RegistryError, blocking::Work},
    storage::{JournalFile, Storage, StorageError},
};

/// How often the files of other servers are looked at, when somebody looks at pages.
pub(super) const FOLLOW_EVERY: Duration = Duration::from_secs(2);
/// How long a page waits for another that reads the journal for the first time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most read of a file of failed sign-ins the first time, in bytes: its end.
const FAILURES_READ: u64 = 1 << 20;

impl Registry {
    /// Reads what other servers have written since the last look, unless that was a moment ago. As long as it was never
    /// read to its end nobody is shown a part of it.
    pub(in crate::registry) async fn follow_journal(&self) -> Result<(), RegistryError> {
        let journal = &self.inner.journal;
        if journal.is_fresh() {
            return Ok(());
        }
        let reading = if journal.lock().is_whole {
            // Another reads it now: what is known is of two seconds ago.
            let Ok(reading) = journal.reading.clone().try_lock_owned() else { return Ok(()) };
            reading
        } else {
            let reading = timeout(PATIENCE, journal.reading.clone().lock_owned()).await;
            reading.map_err(|_| RegistryError::Unavailable(PATIENCE))?
        };
        if journal.is_fresh() {
            return Ok(());
        }
        journal.lock().followed = Some(Instant::now());
        let registry = self.clone();
        let follow = move |storage: &Storage| {
            // Held until the reading ends, also when nobody waits for it any more.
            let _reading = reading;
            registry.follow(storage)
        };
        self.storage(Work::Lookup, follow).await
    }

    fn follow(&self, storage: &Storage) -> Result<(), StorageError> {
        let (is_first, since) = {
            let state = self.inner.journal.lock();
            (!state.is_whole, state.since.clone())
        };
        let mut room = memory::CAPACITY;
        let days = storage.journal_days()?;
        for day in days.iter().take_while(|day| since.as_ref().is_none_or(|since| *day >= since)) {
            for file in storage.journal_files(day)? {
                if !is_of(&file.writer, &self.inner.journal.writer) {
                    room = room.saturating_sub(self.take_new(storage, &file, !is_first)?);
                }
            }
            if is_first && room == 0 {
                break;
            }
        }
        let mut state = self.inner.journal.lock();
        state.is_whole = true;
        // What is being written may be of the day before, by another clock.
        state.since = days.get(1).or(days.first()).cloned();
        state.memory.sort();
        Ok(())
    }

    /// Takes the entries of a file that were not there before, and says how many that are not failed sign-ins.
    fn take_new(&self, storage: &Storage, file: &JournalFile, is_news: bool) -> Result<usize, StorageError> {
        let key = (file.day.clone(), file.writer.clone());
        let holds_failures = file.writer.ends_with(super::FAILURES);
        // A line that this begins in is torn, and passed over.
        let start = if holds_failures { file.size.saturating_sub(FAILURES_READ) } else { 0 };
        let mut offset = self.inner.journal.lock().read.get(&key).copied().unwrap_or_default().max(start);
        let mut taken = 0;
        while offset < file.size {
            let bytes = storage.read_journal(file, offset)?;
            if bytes.is_empty() {
                break;
            }
            offset += bytes.len() as u64;
            let entries: Vec<_> =
                bytes.split(|byte| *byte == b'\n').filter_map(JournalEntry::parse).collect();
            taken += if holds_failures { 0 } else { entries.len() };
            let mut state = self.inner.journal.lock();
            for entry in entries {
                if let Some(repository) = entry.repository.as_ref().filter(|_| is_news) {
                    self.inner.overviews.touch(repository, &entry.tag, entry.was.iter().chain(&entry.now));
                }
                state.memory.add(entry);
            }
            state.read.insert(key.clone(), offset);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        registry::{Action, Config, journal::entry::day_of},
        storage,
    };

    fn server(directory: &tempfile::TempDir) -> Registry {
        let storage = Storage::open(storage::Config::new(directory.path().to_path_buf())).unwrap();
        Registry::new(storage, Config::default())
    }

    /// Lines as another server writes them.
    fn write(registry: &Registry, day: i64, writer: &str, action: Action, count: i64) {
        let at = day * 86_400_000;
        let line = |number| JournalEntry { at: at + number, ..JournalEntry::new(action, None, None) }.line();
        let lines: Vec<u8> = (0..count).flat_map(line).collect();
        registry.inner.storage.append_journal(&day_of(at), writer, &lines).unwrap();
    }

    async fn all(registry: &Registry) -> usize {
        registry.journal(0, usize::MAX, |_| true).await.unwrap().0.len()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_that_look_at_once_see_each_entry_once_and_never_a_part() {
        let directory = tempfile::tempdir().unwrap();
        let registry = server(&directory);
        for day in 0..40 {
            write(&registry, day, "other", Action::Push, 500);
        }
        let looks: Vec<_> = (0..8)
            .map(|_| {
                let registry = registry.clone();
                tokio::spawn(async move { all(&registry).await })
            })
            .collect();
        for look in looks {
            assert_eq!(look.await.unwrap(), 20_000);
        }
        // And later ones, of which each begins when the last look is old.
        for round in 1..20 {
            write(&registry, 39, "other", Action::Push, 100);
            registry.inner.journal.lock().followed = None;
            let (one, two) = tokio::join!(all(&registry), all(&registry));
            let now = 20_000 + usize::try_from(round).unwrap() * 100;
            assert!(one.max(two) == now && one.min(two) >= now - 100, "{one} {two} {now}");
        }
    }

    #[tokio::test]
    async fn what_was_written_in_the_days_nobody_looked_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let registry = server(&directory);
        write(&registry, 100, "other", Action::Push, 1);
        assert_eq!(all(&registry).await, 1);
        for day in 100..107 {
            write(&registry, day, "other", Action::Push, 1);
        }
        registry.inner.journal.lock().followed = None;
        assert_eq!(all(&registry).await, 8);
    }

    #[tokio::test]
    async fn a_process_that_starts_after_a_flood_of_failed_sign_ins_knows_who_pushed() {
        let directory = tempfile::tempdir().unwrap();
        let registry = server(&directory);
        write(&registry, 1, "other", Action::Push, 10);
        write(&registry, 2, "other-failures", Action::SignInFailed, 60_000);
        let pushes = |entry: &JournalEntry| entry.action == Action::Push;
        assert_eq!(registry.journal(0, 100, pushes).await.unwrap().0.len(), 10);
        assert!(all(&registry).await < 6_000, "of the failures only the newest are kept");
    }

    #[tokio::test]
    async fn failed_sign_ins_are_written_apart_and_the_own_ones_are_not_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let registry = server(&directory);
        registry.note(JournalEntry::new(Action::Push, None, None));
        registry.note(JournalEntry::new(Action::SignInFailed, None, None));
        registry.write_journal().await;
        assert_eq!(all(&registry).await, 2);
        let storage = &registry.inner.storage;
        let files = storage.journal_files(&storage.journal_days().unwrap()[0]).unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(all(&server(&directory)).await, 2);
    }
}
