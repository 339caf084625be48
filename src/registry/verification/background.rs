//! The same check, made by a server of itself again and again, within a budget.
//!
//! One server of a volume at a time, as a rule: a mark on the volume says that one is at it, another says when the
//! last check ended, both by the file server's clock. Two at once would do no harm but cost.

use std::{
    collections::BTreeSet,
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Options, Repairs, Report};
use crate::{
    registry::{Registry, RegistryError, blocking::Work},
    storage::{Storage, StorageError},
};

/// When and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From the end of one check, by whatever server, to the start of the next.
    pub interval: Duration,
    /// Bytes read a second.
    pub rate: u64,
}

/// What the last check left for all servers to see.
const RESULT: &str = "verification.json";
/// Written again and again by the server that is at it.
const MARK: &str = "verification-running";
/// How often the mark is written.
const MARK_EVERY: Duration = Duration::from_secs(60);
/// A mark that is older is of a server that died.
const MARK_DEAD: Duration = Duration::from_secs(300);
/// Longest time between two looks at whether a check is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The last check by a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheck {
    /// When it ended, in seconds since 1970 by the file server's clock.
    pub completed: i64,
    /// What it found.
    pub findings: i64,
    errors: usize,
    blobs: u64,
    bytes: u64,
}

impl Registry {
    /// The last check that a server of the volume made of it.
    pub async fn last_verification(&self) -> Result<Option<LastCheck>, RegistryError> {
        self.storage(Work::Lookup, last_check).await
    }

    /// Starts the thread that checks the volume by `schedule` until `shutdown`. It sets damaged blobs aside and
    /// mends nothing else; findings are logged.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn verify_in_background(
        &self,
        schedule: Schedule,
        shutdown: CancellationToken,
    ) -> std::io::Result<()> {
        let background = Background { registry: self.clone(), schedule, shutdown, told: BTreeSet::new() };
        thread::Builder::new().name("verification".to_owned()).spawn(move || background.run()).map(drop)
    }
}

fn last_check(storage: &Storage) -> Result<Option<LastCheck>, StorageError> {
    let bytes = storage.read_note(RESULT)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

struct Background {
    registry: Registry,
    schedule: Schedule,
    shutdown: CancellationToken,
    /// What was logged already: kind and path.
    told: BTreeSet<(&'static str, String)>,
}

impl Background {
    fn run(mut self) {
        let pause = LOOK_EVERY.min(self.schedule.interval / 4);
        while self.sleep(pause) {
            match self.look() {
                Err(_) if self.shutdown.is_cancelled() => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the verification of the volume is tried again later"
                ),
                Ok(()) => {}
            }
        }
    }

    /// `false` when the server stops.
    fn sleep(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.shutdown.is_cancelled() && Instant::now() < until {
            thread::sleep(Duration::from_millis(100).min(time));
        }
        !self.shutdown.is_cancelled()
    }

    /// Makes a check if one is due and nobody else is at it.
    fn look(&mut self) -> Result<(), StorageError> {
        let storage = &self.registry.inner.storage;
        if let Some(last) = last_check(storage)? {
            self.publish(&last);
            if storage.note_age(RESULT)?.is_some_and(|age| age < self.schedule.interval) {
                return Ok(());
            }
        }
        if storage.note_age(MARK)?.is_some_and(|age| age < MARK_DEAD) {
            return Ok(());
        }
        storage.write_note(MARK, b"")?;
        let checked = self.check();
        let storage = &self.registry.inner.storage;
        storage.remove_note(MARK)?;
        let last = self.summarize(&checked?)?;
        let bytes = serde_json::to_vec(&last).unwrap_or_default();
        self.registry.inner.storage.write_note(RESULT, &bytes)?;
        self.publish(&last);
        Ok(())
    }

    fn check(&self) -> Result<Report, StorageError> {
        let storage = &self.registry.inner.storage;
        let options = Options {
            read_data: true,
            repairs: Repairs::SetAside,
            rate: self.schedule.rate,
            sparse_manifests: self.registry.inner.config.sparse_manifests,
            ..Options::default()
        };
        tracing::info!(rate = self.schedule.rate, "the verification of the volume begins");
        let mut marked = Instant::now();
        self.registry.verify(&options, &mut |_| {
            if marked.elapsed() >= MARK_EVERY {
                marked = Instant::now();
                // Without the mark another server may begin as well, which only costs.
                let _ = storage.write_note(MARK, b"");
            }
            !self.shutdown.is_cancelled()
        })
    }

    /// Logs what is new, and sums up.
    fn summarize(&mut self, report: &Report) -> Result<LastCheck, StorageError> {
        for finding in &report.findings {
            if self.told.insert((finding.kind.as_str(), finding.path.clone())) {
                let (kind, path, detail) = (finding.kind.as_str(), &finding.path, &finding.detail);
                tracing::error!(kind, path, detail, advice = finding.advice, "the volume has damage");
            }
        }
        for error in &report.errors {
            tracing::error!(error, "a part of the volume could not be verified");
        }
        let findings = report.findings.len() as u64 + report.more_findings;
        let (blobs, bytes) = (report.checked.blobs, report.checked.bytes);
        tracing::info!(findings, blobs, bytes, "the verification of the volume is complete");
        let now = self.registry.inner.storage.clock()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(LastCheck {
            completed: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            findings: i64::try_from(findings).unwrap_or(i64::MAX),
            errors: report.errors.len(),
            blobs,
            bytes,
        })
    }

    fn publish(&self, last: &LastCheck) {
        let counters = self.registry.counters();
        counters.verification_completed.store(last.completed, Relaxed);
        counters.verification_findings.store(last.findings, Relaxed);
    }
}
