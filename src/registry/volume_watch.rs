//! How the volume is: does it answer, and has it room. Asked every two seconds by [`Registry::watch_volume`], so
//! that a request need not find out by waiting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::Registry;
use crate::storage::{Space, Storage, StorageError};

/// Time from the answer to one question to the next.
const INTERVAL: Duration = Duration::from_secs(2);

/// A question that was not answered for this long: the volume hangs.
const HUNG_AFTER: Duration = Duration::from_secs(5);

/// How long uploads are refused after the volume said that it is full. A quota shows in no number, so the next
/// upload after this finds out.
const FULL_FOR: Duration = Duration::from_secs(5);

/// What is known of the volume. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct VolumeWatch(Arc<State>);

#[derive(Debug)]
struct State {
    /// All times are milliseconds since this, plus one; 0 is never.
    began: Instant,
    asked: AtomicU64,
    found_full: AtomicU64,
    keep_free: u64,
    /// Room as last reported, less what this process has written since.
    free_bytes: AtomicU64,
    total_bytes: AtomicU64,
    /// By the last report; free bytes are looked at as they go.
    is_low: AtomicBool,
    counters: Counters,
}

/// What went wrong with the volume since the start of the process.
#[derive(Debug, Default)]
struct Counters {
    refused_hung: AtomicU64,
    refused_full: AtomicU64,
    timed_out: AtomicU64,
    out_of_space: AtomicU64,
    read_only: AtomicU64,
    failed: AtomicU64,
}

/// The state of the volume at this moment, for metrics and pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeStatus {
    /// It has not answered for 5 s.
    pub hung: bool,
    /// Uploads are refused for lack of room.
    pub full: bool,
    /// Bytes that may still be written; 0 before the first answer.
    pub free_bytes: u64,
    /// Bytes in all; 0 before the first answer.
    pub total_bytes: u64,
    /// Calls refused because it hung.
    pub refused_hung: u64,
    /// Uploads refused, or broken off, because it was full.
    pub refused_full: u64,
    /// Calls that were not answered within their deadline.
    pub timed_out: u64,
    /// Calls that failed for lack of room or over quota.
    pub out_of_space: u64,
    /// Calls that failed because it, or a part of it, cannot be written.
    pub read_only: u64,
    /// Calls that failed for another reason.
    pub failed: u64,
}

impl VolumeWatch {
    pub(super) fn new(keep_free: u64) -> Self {
        Self(Arc::new(State {
            began: Instant::now(),
            asked: AtomicU64::new(0),
            found_full: AtomicU64::new(0),
            keep_free,
            free_bytes: AtomicU64::new(u64::MAX),
            total_bytes: AtomicU64::new(0),
            is_low: AtomicBool::new(false),
            counters: Counters::default(),
        }))
    }

    /// Whether the volume has not answered for so long that asking more of it would only add to the queue.
    pub(super) fn is_hung(&self) -> bool {
        self.passed_since(&self.0.asked).is_some_and(|waited| waited >= HUNG_AFTER)
    }

    /// Whether uploads are refused to keep room for metadata.
    pub(super) fn is_full(&self) -> bool {
        let kept = self.0.keep_free.min(self.0.total_bytes.load(Relaxed) / 20);
        self.0.is_low.load(Relaxed)
            || self.0.free_bytes.load(Relaxed) < kept
            || self.passed_since(&self.0.found_full).is_some_and(|passed| passed < FULL_FOR)
    }

    /// Fails, and counts it, when uploads are refused for lack of room.
    pub(super) fn require_room(&self, storage: &Storage) -> Result<(), StorageError> {
        if self.is_full() {
            self.0.counters.refused_full.fetch_add(1, Relaxed);
            return Err(storage.low_on_space());
        }
        Ok(())
    }

    /// Takes note of bytes written, ahead of the next report.
    pub(super) fn written(&self, bytes: u64) {
        let less = |free: u64| (free != u64::MAX).then(|| free.saturating_sub(bytes));
        // An update that finds nothing reported yet changes nothing.
        let _ = self.0.free_bytes.fetch_update(Relaxed, Relaxed, less);
    }

    /// Takes note of what an operation failed with.
    pub(super) fn note(&self, error: &StorageError) {
        let counters = &self.0.counters;
        match error {
            StorageError::OutOfSpace { .. } => {
                self.0.found_full.store(self.now(), Relaxed);
                counters.out_of_space.fetch_add(1, Relaxed);
            }
            StorageError::ReadOnly { .. } => {
                counters.read_only.fetch_add(1, Relaxed);
            }
            StorageError::Io { .. } => {
                counters.failed.fetch_add(1, Relaxed);
            }
            StorageError::NotFound
            | StorageError::UploadInUse
            | StorageError::DigestMismatch { .. }
            | StorageError::Damaged(_) => {}
        }
    }

    pub(super) fn note_refused_hung(&self) {
        self.0.counters.refused_hung.fetch_add(1, Relaxed);
    }

    pub(super) fn note_timed_out(&self) {
        self.0.counters.timed_out.fetch_add(1, Relaxed);
    }

    pub(super) fn status(&self) -> VolumeStatus {
        let counters = &self.0.counters;
        let free_bytes = self.0.free_bytes.load(Relaxed);
        VolumeStatus {
            hung: self.is_hung(),
            full: self.is_full(),
            free_bytes: if free_bytes == u64::MAX { 0 } else { free_bytes },
            total_bytes: self.0.total_bytes.load(Relaxed),
            refused_hung: counters.refused_hung.load(Relaxed),
            refused_full: counters.refused_full.load(Relaxed),
            timed_out: counters.timed_out.load(Relaxed),
            out_of_space: counters.out_of_space.load(Relaxed),
            read_only: counters.read_only.load(Relaxed),
            failed: counters.failed.load(Relaxed),
        }
    }

    /// Asks the volume; blocks for as long as it hangs.
    fn ask(&self, storage: &Storage) {
        self.0.asked.store(self.now(), Relaxed);
        let answer = storage.space();
        if answer.is_ok() {
            Storage::tidy_up();
        }
        if self.passed_since(&self.0.asked).is_some_and(|waited| waited >= HUNG_AFTER) {
            tracing::warn!("the volume answers again");
        }
        self.0.asked.store(0, Relaxed);
        match answer {
            Ok(space) => self.report(&space),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the volume failed"),
        }
    }

    fn report(&self, space: &Space) {
        self.0.total_bytes.store(space.total_bytes, Relaxed);
        self.0.free_bytes.store(space.free_bytes, Relaxed);
        let low = space.is_low(self.0.keep_free);
        if low != self.0.is_low.swap(low, Relaxed) {
            let (free_bytes, kept) = (space.free_bytes, space.bytes_kept(self.0.keep_free));
            if low {
                tracing::error!(
                    free_bytes,
                    kept,
                    "the volume is full: uploads are refused, all else goes on"
                );
            } else {
                tracing::info!(free_bytes, "the volume has room again");
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn passed_since(&self, mark: &AtomicU64) -> Option<Duration> {
        match mark.load(Relaxed) {
            0 => None,
            time => Some(Duration::from_millis(self.now().saturating_sub(time))),
        }
    }
}

impl Registry {
    /// Keeps asking the volume how it is, until `shutdown`. Without this nothing is refused early, and a volume
    /// that hangs is noticed by each request alone, at its deadline.
    pub async fn watch_volume(self, shutdown: CancellationToken) {
        let (watch, storage) = (self.inner.watch.clone(), self.inner.storage.clone());
        loop {
            let (asked, of) = (watch.clone(), storage.clone());
            let mut answer = tokio::task::spawn_blocking(move || asked.ask(&of));
            // On a thread of its own beside the places for requests: it must ask when all of those hang.
            let answered = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = &mut answer => true,
                () = tokio::time::sleep(HUNG_AFTER) => false,
            };
            if !answered {
                tracing::error!("the volume does not answer: requests for it are refused until it does");
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = answer => {}
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// How the volume is, as last seen. Asks nothing of it.
    pub fn volume_status(&self) -> VolumeStatus {
        self.inner.watch.status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free_bytes: u64) -> Space {
        Space { free_bytes, total_bytes: 10 << 30, free_files: 1 << 20, total_files: 2 << 20 }
    }

    #[test]
    fn room_is_kept_as_bytes_are_written_and_given_back_by_the_next_report() {
        let watch = VolumeWatch::new(64 << 20);
        assert!(!watch.is_full(), "nothing is known yet");
        watch.written(1 << 30);
        watch.report(&space(100 << 20));
        assert!(!watch.is_full());
        watch.written(40 << 20);
        assert!(watch.is_full(), "60 MiB are left by our own count");
        watch.report(&space(100 << 20));
        assert!(!watch.is_full());
        watch.report(&space(10 << 20));
        assert!(watch.is_full());
        watch.written(20 << 20);
        assert_eq!(watch.status().free_bytes, 0);
    }

    #[test]
    fn a_quota_that_no_number_shows_refuses_for_a_while() {
        let watch = VolumeWatch::new(64 << 20);
        watch.report(&space(1 << 30));
        watch.note(&StorageError::OutOfSpace { operation: "write", path: "data".into() });
        assert!(watch.is_full());
        assert_eq!(watch.status().out_of_space, 1);
        let passed = watch.now().saturating_sub(6000);
        watch.0.found_full.store(passed.max(1), Relaxed);
        assert_eq!(watch.is_full(), watch.passed_since(&watch.0.found_full).unwrap() < FULL_FOR);
    }
}
