//! What the doctor saw: one line a trial, and for each finding what breaks and what to type.

use std::path::PathBuf;

use serde::Serialize;

use super::mount_table::Mount;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing breaks.
    Note,
    /// Something works badly, or will not work.
    Warning,
    /// Data can be lost or wrong, or nothing works.
    Error,
}

/// Something that is not as it should be. The texts are for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub problem: String,
    /// What it breaks.
    pub breaks: String,
    /// What to type, or to do.
    pub advice: String,
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        problem: impl Into<String>,
        breaks: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { severity, problem: problem.into(), breaks: breaks.into(), advice: advice.into() }
    }

    pub(super) fn error(
        problem: impl Into<String>,
        breaks: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, problem, breaks, advice)
    }

    pub(super) fn warning(
        problem: impl Into<String>,
        breaks: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, problem, breaks, advice)
    }

    pub(super) fn note(
        problem: impl Into<String>,
        breaks: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Note, problem, breaks, advice)
    }
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// Its name, the same in every version.
    pub name: &'static str,
    /// `false` when it could not be tried; then `seen` says why.
    pub tried: bool,
    /// What was seen, in a few words.
    pub seen: String,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl Trial {
    pub(super) fn of(name: &'static str, seen: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self { name, tried: true, seen: seen.into(), findings }
    }

    pub(super) fn not_tried(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, tried: false, seen: why.into(), findings: Vec::new() }
    }

    /// The worst of its findings.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// All that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The root as configured, absolute.
    pub root: PathBuf,
    /// The `v2` directory; `None` when there is no registry below the root, or two.
    pub directory: Option<PathBuf>,
    /// The mount the volume is on; `None` when the mount table does not say.
    pub mount: Option<Mount>,
    /// In the order they were made.
    pub trials: Vec<Trial>,
}

impl Report {
    /// Every finding with the name of its trial, in the order of the trials.
    pub fn findings(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        self.trials.iter().flat_map(|trial| trial.findings.iter().map(|finding| (trial.name, finding)))
    }

    /// The worst of all findings.
    pub fn worst(&self) -> Option<Severity> {
        self.trials.iter().filter_map(Trial::worst).max()
    }
}
