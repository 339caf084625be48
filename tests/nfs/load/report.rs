//! What a load saw: counts, failures by kind, and the longest waits.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How much of a failure's kind is printed.
const EXAMPLES: usize = 3;

/// The figures of a load, filled by all its workers.
#[derive(Default)]
pub(crate) struct Report(Mutex<Figures>);

#[derive(Default)]
struct Figures {
    operations: BTreeMap<&'static str, usize>,
    requests: usize,
    refused: BTreeMap<u16, usize>,
    failures: Vec<(String, String)>,
    longest: Duration,
    last_success: Option<Instant>,
    longest_silence: Duration,
}

impl Report {
    /// An operation has begun.
    pub(crate) fn operation(&self, name: &'static str) {
        *self.figures().operations.entry(name).or_default() += 1;
    }

    /// A request was answered as it should be, after this long.
    pub(crate) fn answered(&self, took: Duration) {
        let mut figures = self.figures();
        figures.requests += 1;
        figures.longest = figures.longest.max(took);
        let now = Instant::now();
        if let Some(last) = figures.last_success.replace(now) {
            figures.longest_silence = figures.longest_silence.max(now - last);
        }
    }

    /// A request was refused, or not answered (0), while a fault makes that right.
    pub(crate) fn refused(&self, status: u16) {
        *self.figures().refused.entry(status).or_default() += 1;
    }

    /// Something that must not be.
    pub(crate) fn failed(&self, kind: impl Into<String>, detail: impl Into<String>) {
        self.figures().failures.push((kind.into(), detail.into()));
    }

    /// How many operations have begun.
    pub(crate) fn operations(&self) -> usize {
        self.figures().operations.values().sum()
    }

    /// How many requests were answered well so far.
    pub(crate) fn requests(&self) -> usize {
        self.figures().requests
    }

    /// How many failures there are.
    pub(crate) fn failures(&self) -> usize {
        self.figures().failures.len()
    }

    /// Forgets the longest waits: a fault begins now.
    pub(crate) fn begin_fault(&self) {
        let mut figures = self.figures();
        figures.longest = Duration::ZERO;
        figures.longest_silence = Duration::ZERO;
        figures.last_success = Some(Instant::now());
    }

    /// The longest time an answered request took, and the longest time without any, since the fault began.
    pub(crate) fn waits(&self) -> String {
        let figures = self.figures();
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        format!(
            "longest answer {}, longest time without one {}, refused {:?}",
            seconds(figures.longest),
            seconds(figures.longest_silence),
            figures.refused
        )
    }

    /// Counts, and of each kind of failure a few examples.
    pub(crate) fn summary(&self) -> String {
        let figures = self.figures();
        let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (kind, detail) in &figures.failures {
            kinds.entry(kind).or_default().push(detail);
        }
        let mut lines = vec![format!(
            "{} operations {:?}, {} requests answered, refused {:?}, {} failures",
            figures.operations.values().sum::<usize>(),
            figures.operations,
            figures.requests,
            figures.refused,
            figures.failures.len()
        )];
        for (kind, details) in kinds {
            lines.push(format!("  {} x {kind}", details.len()));
            lines.extend(details.iter().take(EXAMPLES).map(|detail| format!("      {detail}")));
        }
        lines.join("\n")
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
