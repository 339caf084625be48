//! The API's own address.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

/// `GET /v2/`: this is a registry, and the caller is known to it.
pub(super) fn ping() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], "{}").into_response()
}

/// `OPTIONS`: answered without credentials, which a browser does not send with it. No other origin is allowed
/// anything: the pages are on this one.
pub(super) fn preflight() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")])
        .into_response()
}
