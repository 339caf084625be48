//! How fast a check reads, whether it goes on, and how far it is.

use std::time::{Duration, Instant};

use crate::storage::StorageError;

/// What a look-up counts as, in bytes: it costs the file server something too.
const LOOK_UP: u64 = 4096;

/// Longest sleep before the watcher is asked again.
const NAP: Duration = Duration::from_millis(100);

/// A part of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Names and sizes of the blobs; in directories of blobs.
    Blobs,
    /// The bytes of the blobs; in bytes.
    Content,
    /// Repositories; in repositories.
    Repositories,
}

/// How far a check is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The part under way.
    pub phase: Phase,
    /// How much of it is done, in its own unit.
    pub done: u64,
    /// How much there is.
    pub total: u64,
    /// Bytes of content read in all.
    pub bytes: u64,
}

/// Keeps to a rate, tells the watcher, and stops when it says so.
pub(super) struct Pace<'a> {
    /// Bytes a second; 0 for no limit.
    rate: u64,
    spent: u64,
    started: Instant,
    pub(super) progress: Progress,
    watcher: &'a mut dyn FnMut(&Progress) -> bool,
}

impl<'a> Pace<'a> {
    pub(super) fn new(rate: u64, watcher: &'a mut dyn FnMut(&Progress) -> bool) -> Self {
        let progress = Progress { phase: Phase::Blobs, done: 0, total: 0, bytes: 0 };
        Self { rate, spent: 0, started: Instant::now(), progress, watcher }
    }

    pub(super) fn begin(&mut self, phase: Phase, total: u64) {
        self.progress = Progress { phase, done: 0, total, bytes: self.progress.bytes };
    }

    /// After a look-up.
    pub(super) fn look_up(&mut self) -> Result<(), StorageError> {
        self.spend(LOOK_UP)
    }

    /// After reading so many bytes of content.
    pub(super) fn read(&mut self, count: usize) -> Result<(), StorageError> {
        self.progress.bytes += count as u64;
        if self.progress.phase == Phase::Content {
            self.progress.done += count as u64;
        }
        self.spend(count as u64)
    }

    fn spend(&mut self, cost: u64) -> Result<(), StorageError> {
        self.spent += cost;
        loop {
            if !(self.watcher)(&self.progress) {
                return Err(stopped());
            }
            let due = match self.rate {
                0 => Duration::ZERO,
                rate => Duration::from_secs_f64(self.spent as f64 / rate as f64),
            };
            let ahead = due.saturating_sub(self.started.elapsed());
            if ahead.is_zero() {
                return Ok(());
            }
            std::thread::sleep(ahead.min(NAP));
        }
    }
}

/// The error that ends a check which was told to stop.
pub(super) fn stopped() -> StorageError {
    StorageError::Io {
        operation: "go on checking",
        path: std::path::PathBuf::new(),
        source: std::io::ErrorKind::Interrupted.into(),
    }
}

pub(super) fn is_stop(error: &StorageError) -> bool {
    matches!(error, StorageError::Io { source, .. } if source.kind() == std::io::ErrorKind::Interrupted)
}
