//! The span every log line of a request stands in, and the one line that sums the request up.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::{
    Asked, AuthenticatedUser, Cause, Held, ReceivedBytes, audit,
    traces::{self, RequestTrace},
    traffic::{Ended, traffic},
};
use crate::auth::RemoteAddress;

/// What nginx calls it: the client closed before it was answered.
const CLIENT_GONE: u16 = 499;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Request extension and response header `X-Request-Id`: made here, never taken from the client, who could
/// otherwise make two requests look like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub Uuid);

/// Middleware: runs the request in its span, and logs it when the last byte of the answer is sent or the
/// client has gone.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let id = Uuid::new_v4();
    request.extensions_mut().insert(RequestId(id));
    let span = tracing::info_span!("request", %id);
    let mut line = LogLine::new(&request, id, span.clone());
    request.extensions_mut().insert(line.received.clone());
    let answer = next.run(request).instrument(span);
    let mut response = match &line.trace {
        Some(trace) => trace.within(answer).await,
        None => answer.await,
    };

    line.status = Some(response.status());
    line.user = response.extensions().get().map(|AuthenticatedUser(user)| Arc::clone(user));
    line._held = response.extensions_mut().remove();
    line.asked = response.extensions_mut().remove();
    line.cause = response.extensions_mut().remove();
    line.digest = response.headers().get("docker-content-digest").cloned();
    line.tags = tags(response.headers());
    line.length = response.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let (mut parts, body) = response.into_parts();
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        parts.headers.insert(REQUEST_ID, value);
    }
    line.whole = body.is_end_stream();
    Response::from_parts(parts, Body::new(LoggedBody { inner: body, line }))
}

fn tags(headers: &HeaderMap) -> Option<String> {
    let tags: Vec<_> = headers.get_all("oci-tag").iter().filter_map(|tag| tag.to_str().ok()).collect();
    (!tags.is_empty()).then(|| tags.join(" "))
}

/// Written when it is dropped, because that is the one thing that happens however a request ends.
struct LogLine {
    span: Span,
    start: Instant,
    method: Method,
    path: String,
    remote: Option<IpAddr>,
    /// `None` while the handler has not answered.
    status: Option<StatusCode>,
    user: Option<Arc<str>>,
    asked: Option<Asked>,
    cause: Option<Cause>,
    /// The digest that the answer names.
    digest: Option<HeaderValue>,
    /// The tags that were asked for by `?tag=`, and set.
    tags: Option<String>,
    _held: Option<Held>,
    received: ReceivedBytes,
    /// The `Content-Length` of the answer.
    length: Option<u64>,
    bytes: u64,
    whole: bool,
    trace: Option<RequestTrace>,
}

impl LogLine {
    fn new(request: &Request, id: Uuid, span: Span) -> Self {
        traffic().begin();
        // What an orchestrator and a monitor ask every few seconds is no trace that anybody looks for.
        let is_shown = !is_probe(request.uri().path());
        Self {
            span,
            trace: is_shown.then(|| traces::begin(request, id)).flatten(),
            start: Instant::now(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            remote: request.extensions().get().map(|RemoteAddress(address)| *address),
            status: None,
            user: None,
            asked: None,
            cause: None,
            digest: None,
            tags: None,
            _held: None,
            received: ReceivedBytes::default(),
            length: None,
            bytes: 0,
            whole: false,
        }
    }

    fn outcome(&self) -> &'static str {
        match self.status {
            None => "client went away before the answer",
            // hyper stops polling once `Content-Length` bytes are out; an answer to HEAD has none.
            Some(_) if self.whole || self.method == Method::HEAD => "done",
            Some(_) if self.length.is_some_and(|length| self.bytes >= length) => "done",
            Some(_) => "client went away",
        }
    }
}

fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}

impl LogLine {
    /// A label of the metrics; what no handler named is told by its path.
    fn route(&self) -> &'static str {
        match (&self.asked, self.path.as_str()) {
            (Some(asked), _) => asked.route,
            (None, "/healthz") => "healthz",
            (None, "/readyz") => "readyz",
            (None, "/metrics") => "metrics",
            (None, path) if path == "/ui" || path.starts_with("/ui/") => "ui",
            (None, _) => "other",
        }
    }

    /// Those there are routes for; anything else a stranger may invent.
    fn known_method(&self) -> Option<&'static str> {
        let known = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];
        known.into_iter().find(|known| *known == self.method.as_str())
    }

    fn count(&self) {
        traffic().end(&Ended {
            route: self.route(),
            method: self.known_method().unwrap_or("other"),
            status: self.status.map_or(CLIENT_GONE, |status| status.as_u16()),
            received: self.received.get(),
            sent: self.bytes,
            time: self.start.elapsed(),
            code: self.cause.as_ref().map(|cause| cause.code),
        });
    }

    fn end_trace(&self) {
        let Some(trace) = &self.trace else { return };
        let asked = self.asked.as_ref();
        let route = asked.map(|asked| asked.template).filter(|template| !template.is_empty());
        trace.end(&traces::Ended {
            method: self.known_method().unwrap_or("_OTHER"),
            path: &self.path,
            route: route.or_else(|| (self.route() == "ui").then_some("/ui/{page}")),
            status: self.status.map(|status| status.as_u16()),
            received: self.received.get(),
            sent: self.bytes,
            user: self.user.as_deref(),
            repository: asked.and_then(|asked| asked.repository.as_deref()),
            reference: asked.and_then(|asked| asked.reference.as_deref()),
            code: self.cause.as_ref().map(|cause| cause.code),
            outcome: self.outcome(),
        });
    }

    /// Writes what changed the registry, and what was refused for want of a right, to the audit log.
    fn record(&self) {
        let Some(asked) = &self.asked else { return };
        let status = self.status.map(|status| status.as_u16());
        let done = matches!(status, Some(200..=299));
        let action = match asked.route {
            "put_manifest" => "push",
            "delete_manifest" => "delete",
            "delete_blob" => "delete-blob",
            _ if status == Some(403) => "denied",
            _ => return,
        };
        tracing::info!(
            target: audit::TARGET,
            action,
            outcome = if done { "done" } else { "failed" },
            user = self.user.as_deref(),
            remote = self.remote.map(tracing::field::display),
            repository = asked.repository.as_deref(),
            reference = asked.reference.as_deref(),
            digest = self.digest.as_ref().and_then(|digest| digest.to_str().ok()),
            tags = self.tags.as_deref(),
            status,
            cause = self.cause.as_ref().map(|cause| cause.code),
        );
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        self.count();
        self.record();
        self.end_trace();
        let milliseconds = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        // One macro call a level: the level of an event is part of its type.
        macro_rules! write_line {
            ($level:expr) => {
                tracing::event!(
                    target: "pakhuis::request",
                    $level,
                    method = %self.method,
                    path = self.path,
                    status = self.status.map(|status| status.as_u16()),
                    bytes = self.bytes,
                    received = self.received.get(),
                    milliseconds,
                    remote = self.remote.map(tracing::field::display),
                    user = self.user.as_deref(),
                    repository = self.asked.as_ref().and_then(|asked| asked.repository.as_deref()),
                    cause = self.cause.as_ref().map(|cause| &*cause.text),
                    trace = self.trace.as_ref().map(RequestTrace::id),
                    outcome = self.outcome(),
                    "request"
                )
            };
        }
        match self.status {
            Some(status) if status.is_server_error() => write_line!(tracing::Level::WARN),
            _ if is_probe(&self.path) => write_line!(tracing::Level::DEBUG),
            _ => write_line!(tracing::Level::INFO),
        }
    }
}

/// A response body that counts what it gives away.
struct LoggedBody {
    inner: Body,
    line: LogLine,
}

impl http_body::Body for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        // What a body does late, such as reading a blob, still belongs to its request.
        let entered = (this.line.span.enter(), this.line.trace.as_ref().map(RequestTrace::enter));
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        drop(entered);
        match &frame {
            None => this.line.whole = true,
            Some(Ok(frame)) => {
                this.line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                this.line.whole = this.inner.is_end_stream();
            }
            Some(Err(error)) => tracing::error!(parent: &this.line.span, %error, "the answer broke off"),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
