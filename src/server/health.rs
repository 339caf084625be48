//! What an orchestrator asks: is the process alive, and should it get requests.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::get};
use futures_util::future::BoxFuture;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// Asks whether requests can be served; `Err` says why not, for the log only.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A readiness check on a hanging share must not hang the one who asks.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer serves whoever asks: the check writes to the volume, and anybody may ask as often as they like.
const KEPT: Duration = Duration::from_secs(1);

/// `/healthz` says that the process answers and touches no storage: a share that is away is no reason to
/// restart. `/readyz` asks `readiness`, for at most 5 s, and says 503 as soon as `shutdown` is cancelled.
pub fn router(readiness: Readiness, shutdown: CancellationToken) -> Router {
    let probe = Arc::new(Probe { readiness, last: Mutex::default() });
    Router::new().route("/healthz", get(|| async { "ok\n" })).route(
        "/readyz",
        get(move || {
            let (probe, shutdown) = (Arc::clone(&probe), shutdown.clone());
            async move { ready(&probe, &shutdown).await }
        }),
    )
}

async fn ready(probe: &Probe, shutdown: &CancellationToken) -> (StatusCode, &'static str) {
    if shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n");
    }
    if probe.is_ready().await {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// The check, one at a time for all who ask; it goes on when they have gone.
struct Probe {
    readiness: Readiness,
    last: Mutex<Option<watch::Receiver<Option<Answer>>>>,
}

#[derive(Clone, Copy)]
struct Answer {
    ready: bool,
    at: Instant,
}

impl Probe {
    async fn is_ready(&self) -> bool {
        let mut answer = self.answer();
        // Nobody answers only when the check panicked.
        answer.wait_for(Option::is_some).await.is_ok_and(|answer| answer.is_some_and(|answer| answer.ready))
    }

    /// Where the answer is, or will be.
    fn answer(&self) -> watch::Receiver<Option<Answer>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = last.as_ref().filter(|known| serves(known)) {
            return known.clone();
        }
        let (sender, receiver) = watch::channel(None);
        let asked = (self.readiness)();
        tokio::spawn(async move {
            let reason = match tokio::time::timeout(READINESS_TIMEOUT, asked).await {
                Ok(Ok(())) => None,
                Ok(Err(reason)) => Some(reason),
                Err(_) => Some(format!("no answer within {} s", READINESS_TIMEOUT.as_secs())),
            };
            if let Some(reason) = &reason {
                tracing::warn!(reason, "not ready");
            }
            sender.send_replace(Some(Answer { ready: reason.is_none(), at: Instant::now() }));
        });
        last.insert(receiver).clone()
    }
}

/// Whether an answer is under way, or young enough.
fn serves(known: &watch::Receiver<Option<Answer>>) -> bool {
    match *known.borrow() {
        Some(answer) => answer.at.elapsed() < KEPT,
        None => known.has_changed().is_ok(),
    }
}
