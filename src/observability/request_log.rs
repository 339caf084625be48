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
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::AuthenticatedUser;
use crate::auth::RemoteAddress;

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
    let mut line = LogLine::new(&request, span.clone());
    let response = next.run(request).instrument(span).await;

    line.status = Some(response.status());
    line.user = response.extensions().get().map(|AuthenticatedUser(user)| Arc::clone(user));
    line.length = response.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let (mut parts, body) = response.into_parts();
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        parts.headers.insert(REQUEST_ID, value);
    }
    line.whole = body.is_end_stream();
    Response::from_parts(parts, Body::new(LoggedBody { inner: body, line }))
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
    /// The `Content-Length` of the answer.
    length: Option<u64>,
    bytes: u64,
    whole: bool,
}

impl LogLine {
    fn new(request: &Request, span: Span) -> Self {
        Self {
            span,
            start: Instant::now(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            remote: request.extensions().get().map(|RemoteAddress(address)| *address),
            status: None,
            user: None,
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

impl Drop for LogLine {
    fn drop(&mut self) {
        let _entered = self.span.enter();
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
                    milliseconds,
                    remote = self.remote.map(tracing::field::display),
                    user = self.user.as_deref(),
                    outcome = self.outcome(),
                    "request"
                )
            };
        }
        match self.status {
            Some(status) if status.is_server_error() => write_line!(tracing::Level::WARN),
            _ if matches!(self.path.as_str(), "/healthz" | "/readyz") => write_line!(tracing::Level::DEBUG),
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
        let entered = this.line.span.enter();
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
