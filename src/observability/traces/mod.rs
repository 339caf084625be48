//! Traces for OpenTelemetry, where a collector is configured: a span for each request, with the names of
//! OpenTelemetry's conventions for HTTP servers, and below it one for each call on the volume, up to a number.
//!
//! A span says what the log line of its request says: no query string, no header but `User-Agent`, and no path for
//! which there is no route, since a stranger may write anything there. Nothing waits for the collector ([`export`]):
//! what it does not take is lost, and counted. Without a collector nothing is set up, and a request pays for one look
//! at [`TRACING`].

mod export;
mod partial_success;

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    extract::Request,
    http::{HeaderMap, Uri, Version, header},
};
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt as _,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{
        Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    resource::TelemetryResourceDetector,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span},
};

use uuid::Uuid;

use crate::auth::{RemoteAddress, TrustedPeer};
use export::Exporter;

/// Spans of calls on the volume below one request. A blob of many blocks has more; the rest is counted in its request.
const CALLS_SHOWN: u64 = 64;

/// Longest `User-Agent` and `tracestate` that are kept of a request.
const LONGEST_TEXT: usize = 256;

/// Where traces go.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where OTLP over HTTP is taken, with its path; `http` or `https`, without a user.
    pub endpoint: Uri,
    /// The authority of an `https` endpoint, in PEM; that of the system when there is none.
    pub ca_certificate: Option<PathBuf>,
    /// Lines `name: value` that are sent along, read again for every batch.
    pub headers_file: Option<PathBuf>,
    /// The share of requests that are traced, 0 to 1, of those whose caller did not decide it.
    pub sample_ratio: f64,
    /// `service.name`.
    pub service_name: String,
}

/// What is there when traces are on.
struct Tracing {
    tracer: SdkTracer,
    /// Clients come by HTTPS.
    secure: bool,
    exporter: Exporter,
    /// Ends its tracers when it is dropped.
    _provider: SdkTracerProvider,
}

static TRACING: OnceLock<Tracing> = OnceLock::new();

/// Traces requests, which come by HTTPS if that is `secure`, from now on.
///
/// # Errors
/// When the file of headers cannot be used, or there is no thread to be had.
pub fn start(config: &Config, secure: bool) -> std::io::Result<()> {
    let resource = resource(&config.service_name);
    let exporter = Exporter::start(config, &resource)?;
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio))))
        .with_resource(resource)
        .with_span_processor(exporter.clone())
        .build();
    let tracer = provider.tracer("pakhuis");
    let _ = TRACING.set(Tracing { tracer, secure, exporter, _provider: provider });
    Ok(())
}

/// Sends what waits, for at most `longest`: before the process ends.
pub fn flush(longest: Duration) {
    if let Some(tracing) = TRACING.get()
        && !tracing.exporter.flush(longest)
    {
        tracing::warn!("the last spans are lost: the collector does not take them");
    }
}

fn resource(service_name: &str) -> Resource {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_service_name(service_name.to_owned())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
            KeyValue::new("host.name", host),
        ])
        .build()
}

/// The span of a request, from its head to the last byte of its answer.
pub(super) struct RequestTrace(Context);

/// What is known of a request at its end.
pub(super) struct Ended<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) route: Option<&'static str>,
    pub(super) status: Option<u16>,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) user: Option<&'a str>,
    pub(super) repository: Option<&'a str>,
    pub(super) reference: Option<&'a str>,
    pub(super) code: Option<&'static str>,
    pub(super) outcome: &'static str,
}

/// The calls on the volume below one request.
#[derive(Default)]
struct Calls {
    count: AtomicU64,
    microseconds: AtomicU64,
}

/// Begins the span of a request; none when traces are off, or this one is not among those that are shown.
pub(super) fn begin(request: &Request, id: Uuid) -> Option<RequestTrace> {
    let tracing = TRACING.get()?;
    let builder = SpanBuilder::from_name("request").with_kind(SpanKind::Server);
    let span = tracing.tracer.build_with_context(builder, &caller(request));
    if !span.is_recording() {
        return None;
    }
    let context = Context::new().with_span(span).with_value(Arc::new(Calls::default()));
    let version = match request.version() {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    let remote = request.extensions().get().map(|RemoteAddress(address)| address.to_string());
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.map(|agent| agent.chars().take(LONGEST_TEXT).collect::<String>());
    let secure = tracing.secure || TrustedPeer::says_https(request.extensions(), request.headers());
    context.span().set_attributes(
        [
            Some(KeyValue::new("url.scheme", if secure { "https" } else { "http" })),
            Some(KeyValue::new("network.protocol.version", version)),
            Some(KeyValue::new("pakhuis.request_id", id.to_string())),
            remote.map(|remote| KeyValue::new("client.address", remote)),
            agent.map(|agent| KeyValue::new("user_agent.original", agent)),
        ]
        .into_iter()
        .flatten(),
    );
    Some(RequestTrace(context))
}

/// The span that the request is below: what a trusted proxy says, and nobody else.
fn caller(request: &Request) -> Context {
    if request.extensions().get::<TrustedPeer>().is_none() {
        return Context::new();
    }
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(request.headers()))
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok().filter(|value| value.len() <= LONGEST_TEXT)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(header::HeaderName::as_str).collect()
    }
}

impl RequestTrace {
    /// Runs `work` so that its calls on the volume are found below this request.
    pub(super) fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.with_context(self.0.clone())
    }

    /// The same for what is no future.
    pub(super) fn enter(&self) -> opentelemetry::ContextGuard {
        self.0.clone().attach()
    }

    /// As hexadecimal digits.
    pub(super) fn id(&self) -> String {
        self.0.span().span_context().trace_id().to_string()
    }

    /// Ends the span.
    pub(super) fn end(&self, ended: &Ended<'_>) {
        let span = self.0.span();
        // Of a method that nobody knows the name says nothing (conventions for HTTP spans, "Name").
        let method = if ended.method == "_OTHER" { "HTTP" } else { ended.method };
        span.update_name(match ended.route {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        });
        // A client's mistake is no error of the server (conventions for HTTP spans, "Status").
        let failed = ended.status.filter(|status| *status >= 500);
        let error = ended.code.map(str::to_owned).or_else(|| failed.map(|status| status.to_string()));
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let text = |name: &'static str, value: Option<&str>| {
            value.map(|value| KeyValue::new(name, value.to_owned()))
        };
        let calls = self.0.get::<Arc<Calls>>().map(|calls| {
            [
                KeyValue::new("pakhuis.volume.calls", number(calls.count.load(Relaxed))),
                KeyValue::new("pakhuis.volume.microseconds", number(calls.microseconds.load(Relaxed))),
            ]
        });
        span.set_attributes([
            KeyValue::new("http.request.method", ended.method),
            KeyValue::new("url.path", ended.route.map_or("REDACTED", |_| ended.path).to_owned()),
            KeyValue::new("http.request.body.size", number(ended.received)),
            KeyValue::new("http.response.body.size", number(ended.sent)),
            KeyValue::new("pakhuis.outcome", ended.outcome),
        ]);
        span.set_attributes(calls.into_iter().flatten());
        span.set_attributes(
            [
                text("http.route", ended.route),
                ended.status.map(|status| KeyValue::new("http.response.status_code", i64::from(status))),
                text("user.name", ended.user),
                text("pakhuis.repository", ended.repository),
                text("pakhuis.reference", ended.reference),
                error.map(|error| KeyValue::new("error.type", error)),
            ]
            .into_iter()
            .flatten(),
        );
        if failed.is_some() {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// A call on the volume, until it is dropped.
pub struct VolumeCall {
    calls: Arc<Calls>,
    begin: Instant,
    /// Ends when it is dropped.
    _span: Option<Span>,
}

/// Begins a call on the volume below the request that is served here; none when that is not traced.
pub fn volume_call(name: &'static str) -> Option<VolumeCall> {
    let tracing = TRACING.get()?;
    Context::map_current(|context| {
        let calls = Arc::clone(context.get::<Arc<Calls>>()?);
        let shown = calls.count.fetch_add(1, Relaxed) < CALLS_SHOWN;
        let span = shown.then(|| tracing.tracer.build_with_context(SpanBuilder::from_name(name), context));
        Some(VolumeCall { calls, begin: Instant::now(), _span: span })
    })
}

impl Drop for VolumeCall {
    fn drop(&mut self) {
        let microseconds = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.calls.microseconds.fetch_add(microseconds, Relaxed);
    }
}
