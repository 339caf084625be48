//! A trial on the scratch directory, with what its failure means.

use std::{error::Error, io};

use super::{
    report::{Finding, Severity, Trial},
    scratch::Scratch,
};
use crate::storage::StorageError;

/// What a trial that went through saw, and what is odd all the same.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) text: String,
    pub(super) findings: Vec<Finding>,
}

impl From<String> for Seen {
    fn from(text: String) -> Self {
        Self { text, findings: Vec::new() }
    }
}

/// Why a trial did not go through.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    /// Nothing is wrong but the room: quota, blocks or inodes.
    full: bool,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self { text, full: false }
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Self { text: error.to_string(), full }
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        let full = matches!(error, StorageError::OutOfSpace { .. });
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self { text, full }
    }
}

impl Failure {
    pub(super) fn text(self) -> String {
        self.text
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Says what was being done.
    pub(super) fn when(doing: &str) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let failure = Self::from(error);
            Self { text: format!("{doing}: {}", failure.text), ..failure }
        }
    }

    /// The finding of a volume that has no room.
    pub(super) fn full_volume(problem: &str, scratch: &std::path::Path) -> Finding {
        let parent = scratch.parent().unwrap_or(scratch).display();
        Finding::warning(
            format!("the volume is full: {problem}"),
            "pushes are refused with 507; pulls and deletes go on",
            format!("df -h {parent}; df -i {parent}; quota    and make room"),
        )
    }
}

/// A trial, and what it means when it fails.
pub(super) struct TrialOf {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    /// What breaks when it fails.
    pub(super) breaks: &'static str,
    /// What to do then.
    pub(super) advice: &'static str,
    pub(super) run: fn(&Scratch) -> Result<Seen, Failure>,
}

impl TrialOf {
    pub(super) fn carry_out(&self, scratch: &Scratch) -> Trial {
        match (self.run)(scratch) {
            Ok(seen) => Trial::of(self.name, seen.text, seen.findings),
            Err(failure) if failure.full => {
                let finding = Failure::full_volume(&failure.text, scratch.directory());
                Trial::of(self.name, "no room", vec![finding])
            }
            Err(failure) => {
                let finding = Finding::new(self.severity, failure.text, self.breaks, self.advice);
                Trial::of(self.name, "failed", vec![finding])
            }
        }
    }
}
