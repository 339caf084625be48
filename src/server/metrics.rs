//! `/metrics` in the OpenMetrics text format, on an address of its own: what it says is for the operator's
//! monitoring, not for whoever reaches the registry.

use std::sync::Arc;

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text, registry::Registry};

/// OpenMetrics 1.0.0, section "Text Format".
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves what `metrics` collects at the moment it is asked.
pub fn router(metrics: Arc<Registry>) -> Router {
    Router::new().route("/metrics", get(move || async move { render(&metrics) }))
}

fn render(metrics: &Registry) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, metrics) {
        Ok(()) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
