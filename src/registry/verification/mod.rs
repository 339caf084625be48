//! A check of the whole volume, while servers work on it: every tag, manifest, link, referrer, blob and digest.
//!
//! A finding is reported only when it is seen twice, with fresh look-ups: a push or a delete that is under way
//! leaves none. What cannot be read is an error of the check, never a finding of absence, and never repaired.

mod background;
mod blobs;
mod finding;
mod manifests;
mod pace;
mod referrers;
mod repair;
mod repository;
mod tags;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

pub use background::{LastCheck, Schedule};
pub use finding::{Finding, FindingKind};
pub use pace::{Phase, Progress};

use super::Registry;
use crate::{
    oci::Digest,
    storage::{FileIdentity, Storage, StorageError},
};
use finding::{Repair, Suspicion};
use pace::Pace;

/// Most findings kept; a volume with more of them is not repaired by reading the list.
const MOST_FINDINGS: usize = 20_000;

/// Most errors before the check gives up: the volume is not in a state to be checked.
const MOST_ERRORS: usize = 100;

/// What may be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repairs {
    /// Nothing is changed.
    None,
    /// Damaged blobs are set aside.
    SetAside,
    /// All that is safe.
    All,
}

/// How to check.
#[derive(Clone, Debug)]
pub struct Options {
    /// Read every blob and compare it with its digest.
    pub read_data: bool,
    /// What to mend.
    pub repairs: Repairs,
    /// Bytes read a second; a look-up counts as 4 KiB. 0 for as fast as it goes.
    pub rate: u64,
    /// Whether manifests may name what is not there.
    pub sparse_manifests: bool,
    /// How long before a finding is looked for again.
    pub settle: Duration,
    /// What a push may be in the middle of is no finding before it is this old, by the file server's clock.
    pub grace: Duration,
    /// After how long without a byte an upload or a temporary file counts as abandoned.
    pub abandoned_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read_data: false,
            repairs: Repairs::None,
            rate: 100_000_000,
            sparse_manifests: false,
            settle: Duration::from_secs(2),
            grace: Duration::from_secs(600),
            abandoned_after: Duration::from_secs(7 * 86_400),
        }
    }
}

/// How many of each were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Checked {
    pub repositories: u64,
    pub tags: u64,
    pub manifests: u64,
    pub layer_links: u64,
    pub referrers: u64,
    pub blobs: u64,
    /// Bytes of content that were read and hashed.
    pub bytes: u64,
    pub set_aside: u64,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How much was looked at.
    pub checked: Checked,
    /// What is wrong; of more than 20,000 findings the first.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more_findings: u64,
    /// What could not be looked at: the check is not complete then. Texts are for the operator.
    pub errors: Vec<String>,
}

impl Registry {
    /// Checks the volume, blocking as long as that takes. `watcher` is told how far it is after every step; the
    /// check ends when it answers `false`.
    ///
    /// # Errors
    /// When it was stopped, or so much cannot be read that going on is no use.
    pub fn verify(
        &self,
        options: &Options,
        watcher: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Report, StorageError> {
        let mut check = Check {
            registry: self,
            storage: &self.inner.storage,
            options,
            pace: Pace::new(options.rate, watcher),
            report: Report::default(),
            damaged: HashMap::new(),
            users: HashMap::new(),
            set_aside: HashMap::new(),
        };
        check.look_at_set_aside()?;
        let bytes = check.look_at_blobs()?;
        if options.read_data {
            check.read_blobs(bytes)?;
        }
        check.look_at_repositories()?;
        check.report_damaged_blobs()?;
        let Check { mut report, pace, .. } = check;
        report.checked.bytes = pace.progress.bytes;
        Ok(report)
    }
}

/// A check under way.
struct Check<'a> {
    registry: &'a Registry,
    storage: &'a Storage,
    options: &'a Options,
    pace: Pace<'a>,
    report: Report,
    /// Damaged blobs that are still in their place.
    damaged: HashMap<Digest, FileIdentity>,
    /// The images that need a damaged blob.
    users: HashMap<Digest, BTreeSet<String>>,
    /// The names of the files that were set aside and whose digest is absent, below `v2`.
    set_aside: HashMap<Digest, String>,
}

impl Check<'_> {
    fn record(&mut self, finding: Finding) {
        if self.report.findings.len() < MOST_FINDINGS {
            self.report.findings.push(finding);
        } else {
            self.report.more_findings += 1;
        }
    }

    /// Takes an error of one thing to the report; gives it back when the check must end.
    fn tolerate(&mut self, what: &str, error: StorageError) -> Result<(), StorageError> {
        if pace::is_stop(&error) || self.report.errors.len() >= MOST_ERRORS {
            return Err(error);
        }
        let mut text = format!("{what}: {error}");
        if let Some(source) = std::error::Error::source(&error) {
            text.push_str(&format!(": {source}"));
        }
        self.report.errors.push(text);
        Ok(())
    }

    /// Does `look` again if it finds anything, and reports and mends what it finds both times.
    fn confirmed(
        &mut self,
        what: &str,
        look: &mut dyn FnMut(&mut Self) -> Result<Vec<Suspicion>, StorageError>,
    ) -> Result<(), StorageError> {
        let first = match look(self) {
            Ok(first) if first.is_empty() => return Ok(()),
            Ok(first) => first,
            Err(error) => return self.tolerate(what, error),
        };
        std::thread::sleep(self.options.settle);
        let second = match look(self) {
            Ok(second) => second,
            Err(error) => return self.tolerate(what, error),
        };
        for suspicion in second {
            if first.iter().any(|earlier| earlier.is_same(&suspicion)) {
                let finding = self.mend(suspicion)?;
                self.record(finding);
            }
        }
        Ok(())
    }

    fn report_damaged_blobs(&mut self) -> Result<(), StorageError> {
        let mut damaged: Vec<(Digest, FileIdentity)> = self.damaged.drain().collect();
        damaged.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (digest, identity) in damaged {
            let users = self.users.remove(&digest).unwrap_or_default();
            let detail = format!(
                "its {} bytes are not what its digest says; who pulls it first is cut off, then it answers 404",
                identity.size
            );
            let suspicion =
                Suspicion::new(FindingKind::BlobDamaged, self.storage.content_path(&digest), detail)
                    .of(&digest)
                    .advise(format!("set it aside with --repair, then {}", finding::push_again(&users)))
                    .mend(Some(Repair::SetAside(digest.clone(), identity)));
            let finding = self.mend(suspicion)?;
            self.record(finding);
        }
        Ok(())
    }
}
