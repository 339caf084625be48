//! Whether a connection is in use, idle or stalled: over HTTP/2 neither of the last two shows on its socket.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

/// How long after a connection was last used its client may be about to use it again.
const BETWEEN_REQUESTS: Duration = Duration::from_secs(1);

/// What happens on one connection. The counters only steer timers, so no order between them is needed.
pub(super) struct Activity {
    start: Instant,
    /// Milliseconds after `start` at which something last happened.
    last: AtomicU64,
    /// Requests that arrived and whose answer is not yet given away.
    running: AtomicUsize,
    /// Answers of which a piece is given away and the next one not asked for: the client's window is full.
    blocked: AtomicUsize,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            blocked: AtomicUsize::new(0),
        })
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.touch();
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// How long there has been no request.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        (self.running.load(Ordering::Relaxed) == 0).then(|| self.quiet_for())
    }

    /// How long the client has taken nothing, although every running request has something for it.
    pub(super) fn stalled_for(&self) -> Option<Duration> {
        let running = self.running.load(Ordering::Relaxed);
        (running > 0 && self.blocked.load(Ordering::Relaxed) == running).then(|| self.quiet_for())
    }

    /// Waits until `shutdown`, and then until the connection is in no use: a client that has just opened or used it is
    /// likely in the middle of a push, and a request that meets the close is lost.
    pub(super) async fn out_of_use(&self, shutdown: &CancellationToken) {
        shutdown.cancelled().await;
        while self.idle_for().is_none_or(|idle| idle < BETWEEN_REQUESTS) {
            tokio::time::sleep(BETWEEN_REQUESTS / 20).await;
        }
    }

    fn quiet_for(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }

    /// Something happened.
    pub(super) fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }
}

/// A request that counts as running.
pub(super) struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.touch();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response body that reports when it is asked for more.
pub(super) struct ActiveBody {
    inner: Body,
    running: Running,
    blocked: bool,
}

impl ActiveBody {
    pub(super) fn new(inner: Body, running: Running) -> Self {
        Self { inner, running, blocked: false }
    }

    fn set_blocked(&mut self, blocked: bool) {
        let activity = &self.running.0;
        activity.touch();
        match (self.blocked, blocked) {
            (false, true) => activity.blocked.fetch_add(1, Ordering::Relaxed),
            (true, false) => activity.blocked.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => return,
        };
        self.blocked = blocked;
    }
}

impl Drop for ActiveBody {
    fn drop(&mut self) {
        self.set_blocked(false);
    }
}

impl http_body::Body for ActiveBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.set_blocked(false);
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.set_blocked(frame.is_some());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
