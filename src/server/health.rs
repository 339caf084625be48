//! What an orchestrator asks: is the process alive, and should it get requests.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, routing::get};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// Asks whether requests can be served; `Err` says why not, for the log only.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A readiness check on a hanging share must not hang the one who asks.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

/// `/healthz` says that the process answers and touches no storage: a share that is away is no reason to
/// restart. `/readyz` asks `readiness`, for at most 5 s, and says 503 as soon as `shutdown` is cancelled.
pub fn router(readiness: Readiness, shutdown: CancellationToken) -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route(
        "/readyz",
        get(move || {
            let (readiness, shutdown) = (Arc::clone(&readiness), shutdown.clone());
            async move { ready(&readiness, &shutdown).await }
        }),
    )
}

async fn ready(readiness: &Readiness, shutdown: &CancellationToken) -> (StatusCode, &'static str) {
    if shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n");
    }
    let reason = match tokio::time::timeout(READINESS_TIMEOUT, readiness()).await {
        Ok(Ok(())) => return (StatusCode::OK, "ok\n"),
        Ok(Err(reason)) => reason,
        Err(_) => format!("no answer within {} s", READINESS_TIMEOUT.as_secs()),
    };
    tracing::warn!(reason, "not ready");
    (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
}
