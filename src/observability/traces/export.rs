//! Sends spans to the collector from a thread of its own: OTLP over HTTP, in Protobuf. A number of spans waits for it,
//! and what comes on top is lost and counted, so that a collector that is down or slow holds up no request and fills no
//! memory.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use bytes::Bytes;
use opentelemetry::Context;
use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use prost::Message as _;

use super::{
    Config,
    partial_success::{PartialSuccess, partial_success},
};
use crate::{
    http_client::Client,
    observability::{Seldom, traffic},
};

/// Spans that may wait: some 6 MB.
const MOST_WAITING: usize = 4096;
/// Spans sent at once.
const BATCH: usize = 512;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a batch is tried, and the longest pause between two attempts.
const GIVE_UP: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Takes ended spans in. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Exporter(Arc<Queue>);

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<SpanData>,
    /// The process ends: each batch is tried once.
    closing: bool,
    /// All that waited has been tried.
    empty: bool,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl Exporter {
    /// Starts the thread that sends.
    pub(super) fn start(config: &Config, resource: &Resource) -> io::Result<Self> {
        if let Some(file) = &config.headers_file {
            headers(file)?;
        }
        let queue = Arc::new(Queue { state: Mutex::default(), changed: Condvar::new() });
        let mut sending = Sending {
            queue: Arc::clone(&queue),
            client: Client::new(config.endpoint.clone(), config.ca_certificate.clone()),
            headers_file: config.headers_file.clone(),
            resource: resource.into(),
            failing: false,
            rejected: Seldom::default(),
        };
        thread::Builder::new().name("traces".to_owned()).spawn(move || sending.run())?;
        Ok(Self(queue))
    }

    /// Sends what waits, each span once, for at most `longest`; whether that was enough.
    pub(super) fn flush(&self, longest: Duration) -> bool {
        let mut state = self.0.lock();
        (state.closing, state.empty) = (true, false);
        self.0.changed.notify_all();
        let waited = self.0.changed.wait_timeout_while(state, longest, |state| !state.empty);
        waited.unwrap_or_else(PoisonError::into_inner).0.empty
    }
}

impl SpanProcessor for Exporter {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut state = self.0.lock();
        if state.waiting.len() >= MOST_WAITING {
            drop(state);
            traffic().lost_spans(1);
            return;
        }
        state.waiting.push(span);
        // The thread wakes by itself, once a second: to wake it for each span would cost more than the span.
        if state.waiting.len() == BATCH {
            self.0.changed.notify_all();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a batch.
    fn next(&self) -> Vec<SpanData> {
        let mut state = self.lock();
        loop {
            let wait = self.changed.wait_timeout_while(state, GATHER, |state| {
                state.waiting.len() < BATCH && (state.empty || !state.closing)
            });
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
            let count = state.waiting.len().min(BATCH);
            if count > 0 {
                return state.waiting.drain(..count).collect();
            }
            if state.closing {
                state.empty = true;
                self.changed.notify_all();
            }
        }
    }

    /// Waits between two attempts; false when the process ends.
    fn pause(&self, time: Duration) -> bool {
        let wait = self.changed.wait_timeout_while(self.lock(), time, |state| !state.closing);
        !wait.unwrap_or_else(PoisonError::into_inner).0.closing
    }
}

/// What the thread has.
struct Sending {
    queue: Arc<Queue>,
    client: Client,
    headers_file: Option<PathBuf>,
    resource: ResourceAttributesWithSchema,
    failing: bool,
    rejected: Seldom,
}

impl Sending {
    fn run(&mut self) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            tracing::error!("no traces are sent: there is no runtime to be had");
            return;
        };
        loop {
            let spans = self.queue.next();
            let count = spans.len() as u64;
            let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
            let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
            let lost = match runtime.block_on(self.deliver(body)) {
                Some(answer) => self.rejected_of(count, answer),
                None => count,
            };
            traffic().sent_spans(count - lost);
            traffic().lost_spans(lost);
        }
    }

    /// How many of a batch that was taken were not. Told at most once a minute.
    fn rejected_of(&self, count: u64, PartialSuccess { rejected, why }: PartialSuccess) -> u64 {
        let rejected = rejected.min(count);
        if (rejected > 0 || !why.is_empty())
            && let Some(spans) = self.rejected.count(rejected)
        {
            tracing::warn!(spans, why, "the collector rejects spans, or warns of something");
        }
        rejected
    }

    /// Sends a batch until it is taken; `None` when it was not.
    async fn deliver(&mut self, body: Bytes) -> Option<PartialSuccess> {
        let begin = Instant::now();
        let mut pause = LONGEST_PAUSE / 10;
        loop {
            let (why, again) = match self.post(body.clone()).await {
                Ok(answer) if answer.status().is_success() => {
                    self.tell(None);
                    return Some(partial_success(answer.headers(), answer.body()));
                }
                // What OTLP says may be tried again (specification, "Failures"), and what a proxy says meanwhile.
                Ok(answer) => {
                    let status = answer.status();
                    let again = matches!(status.as_u16(), 404 | 408 | 429 | 502 | 503 | 504);
                    (format!("the collector answers {status}"), again)
                }
                Err(error) => (error.to_string(), true),
            };
            self.tell(Some(&why));
            if !again || begin.elapsed() >= GIVE_UP || !self.queue.pause(pause) {
                return None;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn post(&mut self, body: Bytes) -> io::Result<Response<Bytes>> {
        let mut headers = self.headers_file.as_deref().map(headers).transpose()?.unwrap_or_default();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        self.client.post(headers, body, TIMEOUT).await
    }

    /// The first failure and the first success after it.
    fn tell(&mut self, why: Option<&str>) {
        match why {
            Some(error) if !self.failing => tracing::warn!(error, "traces cannot be delivered"),
            None if self.failing => tracing::info!("traces are delivered again"),
            _ => {}
        }
        self.failing = why.is_some();
    }
}

/// The headers in a file, one `name: value` a line. They may be secrets: an error says which line it is, not what it
/// has.
fn headers(file: &Path) -> io::Result<HeaderMap> {
    let told = |why: &dyn fmt::Display| io::Error::other(format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| told(&error))?;
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let header = line.split_once(':').and_then(|(name, value)| {
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
        });
        let Some((name, value)) = header else {
            return Err(told(&format!("line {} is no header, `name: value`", number + 1)));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines_and_a_wrong_one_is_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("headers");
        fs::write(&file, "Authorization: Bearer hush\n\nx-scope: a:b\n").unwrap();
        let read = headers(&file).unwrap();
        assert_eq!(
            (&read["authorization"], &read["x-scope"]),
            (&"Bearer hush".parse().unwrap(), &"a:b".parse().unwrap())
        );
        assert!(!format!("{read:?}").contains("hush"));
        fs::write(&file, "x: y\nBearer hush\n").unwrap();
        let error = headers(&file).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hush"), "{error}");
        assert!(headers(&directory.path().join("absent")).is_err());
    }
}
