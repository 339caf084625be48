//! What the process has counted of its requests, for `/metrics`. One for the process, as its log is.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds in seconds: a manifest takes a millisecond, a large layer minutes.
const BUCKETS: [f64; 11] = [0.002, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
    outcome: &'static str,
}

/// The counters; see [`traffic`].
#[derive(Debug)]
pub struct Traffic {
    answers: Family<Answer, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    received: Family<Route, Counter>,
    sent: Family<Route, Counter>,
    errors: Family<Code, Counter>,
    reloads: Family<What, Counter>,
    running: AtomicI64,
    panics: Counter,
    refused_connections: Counter,
    audit_lost: Counter,
    events_lost: Counter,
    /// Events that wait for their target, over all targets.
    pub events_waiting: AtomicU64,
    events_sent: Counter,
    events_dead: Counter,
    spans_sent: Counter,
    spans_lost: Counter,
}

/// What is followed while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The configuration file.
    Configuration,
    /// The certificate and its key.
    Certificate,
    /// The htpasswd file.
    Users,
}

impl Followed {
    fn outcome(self, taken: bool) -> What {
        let what = match self {
            Self::Configuration => "configuration",
            Self::Certificate => "certificate",
            Self::Users => "users",
        };
        What { what, outcome: if taken { "taken" } else { "refused" } }
    }
}

/// From the start at 0: of a series that begins at 1 no rate is known, and the first refusal would alert nobody.
fn every_reload() -> Family<What, Counter> {
    let reloads = Family::default();
    for what in [Followed::Configuration, Followed::Certificate, Followed::Users] {
        for taken in [true, false] {
            let _ = reloads.get_or_create(&what.outcome(taken));
        }
    }
    reloads
}

/// The counters of this process.
pub fn traffic() -> &'static Traffic {
    static TRAFFIC: LazyLock<Traffic> = LazyLock::new(Traffic::new);
    &TRAFFIC
}

/// One request, when it has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
    pub(super) status: u16,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) time: Duration,
    pub(super) code: Option<&'static str>,
}

impl Traffic {
    fn new() -> Self {
        let durations: fn() -> Histogram = || Histogram::new(BUCKETS);
        Self {
            answers: Family::default(),
            durations: Family::new_with_constructor(durations),
            received: Family::default(),
            sent: Family::default(),
            errors: Family::default(),
            reloads: every_reload(),
            running: AtomicI64::new(0),
            panics: Counter::default(),
            refused_connections: Counter::default(),
            audit_lost: Counter::default(),
            events_lost: Counter::default(),
            events_waiting: AtomicU64::new(0),
            events_sent: Counter::default(),
            events_dead: Counter::default(),
            spans_sent: Counter::default(),
            spans_lost: Counter::default(),
        }
    }

    /// Adds all of it but the gauges to `metrics`.
    pub fn register(&self, metrics: &mut Registry) {
        let bytes = Unit::Bytes;
        metrics.register(
            "http_requests",
            "Requests by route, method and status; 499: the client went away before the answer",
            self.answers.clone(),
        );
        metrics.register_with_unit(
            "http_request_duration",
            "From the head of the request to the last byte of the answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        let help = "Bytes of request bodies that came";
        metrics.register_with_unit("http_received", help, bytes.clone(), self.received.clone());
        metrics.register_with_unit("http_sent", "Bytes of answers that were sent", bytes, self.sent.clone());
        metrics.register("http_errors", "Answers that tell of an error, by its code", self.errors.clone());
        metrics.register("reloads", "Changes of files that were taken or refused", self.reloads.clone());
        metrics.register("panics", "Panics of this process", self.panics.clone());
        metrics.register(
            "connections_refused",
            "Connections closed at once because their address has too many",
            self.refused_connections.clone(),
        );
        metrics.register("audit_lost", "Lines that the audit log could not take", self.audit_lost.clone());
        metrics.register("events_sent", "Events that their target took", self.events_sent.clone());
        metrics.register(
            "events_dead",
            "Events given up, kept in the dead letters",
            self.events_dead.clone(),
        );
        metrics.register(
            "events_lost",
            "Events that could not be put into the queue",
            self.events_lost.clone(),
        );
        metrics.register("spans_sent", "Spans that the collector took", self.spans_sent.clone());
        metrics.register(
            "spans_lost",
            "Spans that the collector did not take, or that had no room to wait for it",
            self.spans_lost.clone(),
        );
    }

    /// Requests that are being answered now.
    pub fn running(&self) -> i64 {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, ended: &Ended) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        let Ended { route, method, status, received, sent, time, code } = *ended;
        self.answers.get_or_create(&Answer { route, method, status }).inc();
        let label = Route { route };
        self.durations.get_or_create(&label).observe(time.as_secs_f64());
        if received > 0 {
            self.received.get_or_create(&label).inc_by(received);
        }
        if sent > 0 {
            self.sent.get_or_create(&label).inc_by(sent);
        }
        if let Some(code) = code {
            self.errors.get_or_create(&Code { code }).inc();
        }
    }

    /// A panic, on whatever thread.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// A connection closed because its address has too many.
    pub fn refused_connection(&self) {
        self.refused_connections.inc();
    }

    /// A changed file was taken, or refused.
    pub fn reloaded(&self, what: Followed, taken: bool) {
        self.reloads.get_or_create(&what.outcome(taken)).inc();
    }

    pub(super) fn lost_audit_line(&self) {
        self.audit_lost.inc();
    }

    /// An event could not be kept.
    pub fn lost_event(&self) {
        self.events_lost.inc();
    }

    /// A target took an event.
    pub fn sent_event(&self) {
        self.events_sent.inc();
    }

    /// A target will not get an event.
    pub fn dead_event(&self) {
        self.events_dead.inc();
    }

    pub(super) fn sent_spans(&self, count: u64) {
        self.spans_sent.inc_by(count);
    }

    pub(super) fn lost_spans(&self, count: u64) {
        self.spans_lost.inc_by(count);
    }
}
