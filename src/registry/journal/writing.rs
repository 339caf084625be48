//! Writing new entries to the volume, on no request's way.

use std::{collections::BTreeMap, mem, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Action, FAILURES, JournalEntry, entry::day_of};
use crate::{
    oci::{Digest, RepositoryName},
    registry::{Registry, blocking::Work},
    storage::{Storage, StorageError},
};

/// How often new entries are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How long entries are kept on the volume, in days.
const KEPT_DAYS: usize = 400;
/// Summaries made in one turn.
const SUMMARIES_A_TURN: usize = 100;

impl Registry {
    /// Writes the journal every second until the end, and what is left then.
    pub async fn keep_journal(self, until: CancellationToken) {
        while until.run_until_cancelled(tokio::time::sleep(WRITE_EVERY)).await.is_some() {
            self.write_journal().await;
        }
        self.write_journal().await;
    }

    /// Writes what has not been written yet.
    pub async fn write_journal(&self) {
        let mut unwritten = Unwritten::take(self);
        if unwritten.entries.is_empty() {
            return;
        }
        let count = unwritten.entries.len();
        let pushes = unwritten.entries.iter().filter(|entry| entry.action == Action::Push);
        let pushed = pushes.filter_map(|entry| Some((entry.repository.clone()?, entry.now.clone()?)));
        let pushed: Vec<_> = pushed.take(SUMMARIES_A_TURN).collect();
        match self.storage(Work::Write, move |storage: &Storage| unwritten.write(storage)).await {
            Ok(()) => self.summarize_pushed(pushed).await,
            Err(error) => tracing::warn!(%error, entries = count, "the journal cannot be written now"),
        }
    }

    /// Makes the summaries of what was pushed, so that no page has to; what there is no time for is left to pages.
    async fn summarize_pushed(&self, pushed: Vec<(RepositoryName, Digest)>) {
        let summarizer = self.summarizer();
        let make = move |storage: &Storage| {
            for (repository, digest) in pushed {
                if storage.has_manifest(&repository, &digest)? {
                    summarizer.summarize(storage, &repository, &digest)?;
                }
            }
            Ok(())
        };
        if let Err(error) = self.storage(Work::Write, make).await {
            tracing::debug!(%error, "a summary was not made");
        }
    }
}

/// Entries on their way to the volume. Those that are not on it wait again when this is dropped: by whoever writes, and
/// not by who waits for that, since a write that is late is done all the same.
struct Unwritten {
    registry: Registry,
    entries: Vec<JournalEntry>,
    is_retry: bool,
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        if !self.entries.is_empty() {
            let mut state = self.registry.inner.journal.lock();
            let newer = mem::replace(&mut state.waiting, mem::take(&mut self.entries));
            state.waiting.extend(newer);
            state.is_retry = true;
        }
    }
}

impl Unwritten {
    fn take(registry: &Registry) -> Self {
        let mut state = registry.inner.journal.lock();
        let (entries, is_retry) = (mem::take(&mut state.waiting), mem::take(&mut state.is_retry));
        Self { registry: registry.clone(), entries, is_retry }
    }

    fn write(&mut self, storage: &Storage) -> Result<(), StorageError> {
        let mut files: BTreeMap<(String, String), Vec<JournalEntry>> = BTreeMap::new();
        for entry in mem::take(&mut self.entries) {
            files.entry(self.file_of(&entry)).or_default().push(entry);
        }
        let mut result = Ok(());
        for ((day, writer), entries) in files {
            // What failed may have left half a line, which would spoil the first of these.
            let mut lines = if self.is_retry { vec![b'\n'] } else { Vec::new() };
            entries.iter().for_each(|entry| lines.extend(entry.line()));
            match storage.append_journal(&day, &writer, &lines) {
                Ok(true) => forget_old(storage),
                Ok(false) => {}
                Err(error) => {
                    self.entries.extend(entries);
                    result = Err(error);
                }
            }
        }
        result
    }

    /// The day and the name of the file that an entry belongs into.
    fn file_of(&self, entry: &JournalEntry) -> (String, String) {
        let kind = if entry.action == Action::SignInFailed { FAILURES } else { "" };
        (day_of(entry.at), format!("{}{kind}", self.registry.inner.journal.writer))
    }
}

/// Forgets the days that are too old. What cannot be removed now is removed tomorrow.
fn forget_old(storage: &Storage) {
    let forget = || {
        let mut days = storage.journal_days()?.into_iter().skip(KEPT_DAYS);
        days.try_for_each(|day| storage.remove_journal(&day))
    };
    if let Err(error) = forget() {
        tracing::warn!(%error, "an old day of the journal cannot be removed now");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::{registry::Config, storage};

    struct Volume(tempfile::TempDir);

    impl Volume {
        fn server(&self) -> Registry {
            let storage = Storage::open(storage::Config::new(self.0.path().to_path_buf())).unwrap();
            Registry::new(storage, Config::default())
        }

        fn day(&self) -> PathBuf {
            self.0.path().join("docker/registry/v2/.pakhuis/journal").join(day_of(entry("", 0).at))
        }

        /// Where a server writes what is no failed sign-in.
        fn file_of(&self, registry: &Registry) -> PathBuf {
            self.day().join(&registry.inner.journal.writer)
        }

        /// What the journal has, as a server says that starts now: by whom, the oldest first.
        async fn users(&self) -> Vec<String> {
            let (mut entries, _) = self.server().journal(0, usize::MAX, |_| true).await.unwrap();
            entries.reverse();
            entries.into_iter().filter_map(|entry| entry.user).collect()
        }
    }

    fn entry(user: &str, number: i64) -> JournalEntry {
        let at = 1_795_000_000_000 + number;
        JournalEntry { at, ..JournalEntry::new(Action::SignIn, Some(user), None) }
    }

    fn failure(user: &str, number: i64) -> JournalEntry {
        JournalEntry { action: Action::SignInFailed, ..entry(user, number) }
    }

    #[tokio::test]
    async fn what_was_written_before_another_file_failed_is_not_written_twice() {
        let volume = Volume(tempfile::tempdir().unwrap());
        let registry = volume.server();
        let failures = volume.file_of(&registry).display().to_string() + FAILURES;
        fs::create_dir_all(&failures).unwrap();
        registry.note(entry("ana", 1));
        registry.note(failure("eve", 2));
        registry.write_journal().await;
        assert!(fs::read_to_string(volume.file_of(&registry)).unwrap().contains("ana"));
        registry.note(entry("ben", 3));
        fs::remove_dir(failures).unwrap();
        for _ in 0..2 {
            registry.write_journal().await;
            assert_eq!(volume.users().await, ["ana", "eve", "ben"]);
        }
    }

    #[tokio::test]
    async fn half_a_line_that_a_failure_left_spoils_none() {
        let volume = Volume(tempfile::tempdir().unwrap());
        let registry = volume.server();
        let file = volume.file_of(&registry);
        fs::create_dir_all(&file).unwrap();
        registry.note(entry("ana", 1));
        registry.write_journal().await;
        // As a volume that was full in the middle of the line.
        fs::remove_dir(&file).unwrap();
        fs::write(&file, r#"{"at":1795000000001,"acti"#).unwrap();
        registry.note(entry("ben", 2));
        registry.write_journal().await;
        assert_eq!(volume.users().await, ["ana", "ben"]);
    }

    #[tokio::test]
    async fn what_is_written_late_is_not_written_twice() {
        let volume = Volume(tempfile::tempdir().unwrap());
        let registry = volume.server();
        registry.note(entry("ana", 1));
        // Who waited for it went away.
        let mut written = Box::pin(registry.write_journal());
        let _ = futures_util::poll!(&mut written);
        drop(written);
        while volume.users().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        registry.write_journal().await;
        assert_eq!(volume.users().await, ["ana"]);
    }

    #[tokio::test]
    async fn a_day_that_cannot_be_removed_does_not_have_the_new_ones_written_twice() {
        let volume = Volume(tempfile::tempdir().unwrap());
        let registry = volume.server();
        let days = volume.day().parent().unwrap().to_owned();
        fs::create_dir_all(&days).unwrap();
        // The oldest is no directory.
        for number in 0..=i64::try_from(KEPT_DAYS).unwrap() {
            fs::write(days.join(day_of(number * 86_400_000)), "").unwrap();
        }
        registry.note(entry("ana", 1));
        for _ in 0..2 {
            registry.write_journal().await;
            assert_eq!(fs::read_to_string(volume.file_of(&registry)).unwrap().lines().count(), 1);
        }
    }
}
