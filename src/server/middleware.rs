//! What every request passes on its way to a handler, as one list.

use std::{any::Any, net::IpAddr};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Version, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};

use super::{
    Config, SharedLimits,
    request_body::{Bounds, WatchedBody},
};
use crate::{
    auth::{Concurrency, RemoteAddress},
    observability::{Cause, Held, ReceivedBytes, request_log},
};

/// Puts `app` inside the stack. The first layer sees a request first and its response last.
pub fn stack(app: Router, config: &Config) -> Router {
    app.layer(
        ServiceBuilder::new()
            // Outermost, so that it also counts and times what the other layers answer.
            .layer(from_fn(request_log::layer))
            // On every answer, errors too: what a client pushed must never run in a browser as a page.
            .layer(SetResponseHeaderLayer::overriding(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ))
            .layer(from_fn_with_state((config.limits.clone(), Concurrency::default()), limit_address))
            // Outside of the panic layer, because after a panic too the body is left half read.
            .layer(from_fn_with_state(config.clone(), watch_body))
            // A broken handler answers 500; the connection and the server go on.
            .layer(CatchPanicLayer::custom(internal_error))
            // What is left of request framing once hyper has parsed it.
            .layer(from_fn(require_one_host)),
    )
}

/// Answers 429 to an address that has too many requests at once. What an orchestrator asks is always answered.
async fn limit_address(
    State((limits, requests)): State<(SharedLimits, Concurrency<IpAddr>)>,
    request: Request,
    next: Next,
) -> Response {
    let remote = request.extensions().get::<RemoteAddress>().copied();
    let (Some(remote), false) = (remote, matches!(request.uri().path(), "/healthz" | "/readyz")) else {
        return next.run(request).await;
    };
    let Some(slot) = requests.take(&remote.network(), limits.get().requests_per_address) else {
        return too_many();
    };
    let mut response = next.run(request).await;
    Held::add(response.extensions_mut(), slot);
    response
}

fn too_many() -> Response {
    let text = "your address has too many requests at once; try again";
    let body = format!(r#"{{"errors":[{{"code":"TOOMANYREQUESTS","message":"{text}"}}]}}"#);
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "5")];
    let mut response = (StatusCode::TOO_MANY_REQUESTS, headers, body).into_response();
    response.extensions_mut().insert(Cause { code: "TOOMANYREQUESTS", text: text.into() });
    response
}

/// Fails stalled request bodies, and says `Connection: close` when a request was answered before it was read:
/// the rest of it stands in the way of the next one. The connection then lingers until the client has read.
async fn watch_body(State(config): State<Config>, request: Request, next: Next) -> Response {
    let version = request.version();
    let (parts, body) = request.into_parts();
    let bounds = Bounds { stall: config.request_stall, min_rate: config.limits.get().request_min_rate };
    let received = parts.extensions.get::<ReceivedBytes>().cloned().unwrap_or_default();
    let (body, read_to_end) = WatchedBody::new(body, bounds, received);
    let mut response = next.run(Request::from_parts(parts, Body::new(body))).await;
    if version < Version::HTTP_2 && !read_to_end.get() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// RFC 9112 section 3.2: a request of HTTP/1.1 without exactly one `Host` is refused.
async fn require_one_host(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    let required = usize::from(request.version() == Version::HTTP_11);
    if hosts < required || hosts > 1 {
        let body = r#"{"errors":[{"code":"UNSUPPORTED","message":"exactly one Host header is required"}]}"#;
        let json = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (StatusCode::BAD_REQUEST, json, body).into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    next.run(request).await
}

/// The answer after a panic; what it said goes to the log only.
#[expect(clippy::needless_pass_by_value, reason = "the signature that CatchPanicLayer asks for")]
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
