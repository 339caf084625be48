//! What every request passes on its way to a handler, as one list.

use std::{any::Any, net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Version, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tower::ServiceBuilder;

use super::{
    Config,
    request_body::{Bounds, WatchedBody},
};
use crate::{
    auth::{Concurrency, RemoteAddress, Slot},
    observability::{Cause, Held, ReceivedBytes, request_log},
};

/// Puts `app` inside the stack. The first layer sees a request first and its response last.
pub fn stack(app: Router, config: &Config) -> Router {
    let guard = Guard { config: config.clone(), requests: Concurrency::default() };
    app.layer(
        ServiceBuilder::new()
            // Outermost, so that it also counts and times what the guard answers.
            .layer(from_fn(request_log::layer))
            .layer(from_fn_with_state(Arc::new(guard), Guard::layer)),
    )
}

/// What every request is held to. One layer for all of it: each costs a request a dozen allocations.
struct Guard {
    config: Config,
    /// Those that run, by the network they came from.
    requests: Concurrency<IpAddr>,
}

impl Guard {
    async fn layer(State(guard): State<Arc<Self>>, request: Request, next: Next) -> Response {
        let mut response = match guard.slot(&request) {
            Ok(slot) => {
                let mut response = guard.watch_body(request, next).await;
                if let Some(slot) = slot {
                    Held::add(response.extensions_mut(), slot);
                }
                response
            }
            Err(TooMany) => too_many(),
        };
        // On every answer, errors too: what a client pushed must never run in a browser as a page.
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    /// The request's place among those of its address; an address that has too many at once is refused. What an
    /// orchestrator asks is always answered.
    fn slot(&self, request: &Request) -> Result<Option<Slot<IpAddr>>, TooMany> {
        let remote = request.extensions().get::<RemoteAddress>();
        let (Some(remote), false) = (remote, matches!(request.uri().path(), "/healthz" | "/readyz")) else {
            return Ok(None);
        };
        let limit = self.config.limits.get().requests_per_address;
        self.requests.take(&remote.network(), limit).map(Some).ok_or(TooMany)
    }

    /// Fails stalled request bodies, and says `Connection: close` when a request was answered before it was read:
    /// the rest of it stands in the way of the next one. The connection then lingers until the client has read.
    async fn watch_body(&self, request: Request, next: Next) -> Response {
        let version = request.version();
        let (parts, body) = request.into_parts();
        let (stall, min_rate) = (self.config.request_stall, self.config.limits.get().request_min_rate);
        let received = parts.extensions.get::<ReceivedBytes>().cloned().unwrap_or_default();
        let (body, read_to_end) = WatchedBody::new(body, Bounds { stall, min_rate }, received);
        let mut response = answer(Request::from_parts(parts, Body::new(body)), next).await;
        // After a panic too: the body is left half read.
        if version < Version::HTTP_2 && !read_to_end.get() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The handler's answer to a request whose framing is sound. A broken handler answers 500; the connection and the
/// server go on.
async fn answer(request: Request, next: Next) -> Response {
    if !has_one_host(&request) {
        return two_hosts();
    }
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(internal_error)
}

/// An address has too many requests at once.
struct TooMany;

fn too_many() -> Response {
    let text = "your address has too many requests at once; try again";
    let body = format!(r#"{{"errors":[{{"code":"TOOMANYREQUESTS","message":"{text}"}}]}}"#);
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "5")];
    let mut response = (StatusCode::TOO_MANY_REQUESTS, headers, body).into_response();
    response.extensions_mut().insert(Cause { code: "TOOMANYREQUESTS", text: text.into() });
    response
}

/// RFC 9112 section 3.2: a request of HTTP/1.1 has exactly one `Host`.
fn has_one_host(request: &Request) -> bool {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    hosts == 1 || (hosts == 0 && request.version() != Version::HTTP_11)
}

fn two_hosts() -> Response {
    let body = r#"{"errors":[{"code":"UNSUPPORTED","message":"exactly one Host header is required"}]}"#;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CONNECTION, "close")];
    (StatusCode::BAD_REQUEST, headers, body).into_response()
}

/// The answer after a panic; what it said goes to the log only.
#[expect(clippy::needless_pass_by_value, reason = "what a panic leaves is owned")]
fn internal_error(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(message, "a handler panicked");
    let body = r#"{"errors":[{"code":"UNKNOWN","message":"internal error"}]}"#;
    let json = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (StatusCode::INTERNAL_SERVER_ERROR, json, body).into_response();
    response.extensions_mut().insert(Cause { code: "UNKNOWN", text: "internal error".into() });
    response
}
