//! The body of a request, watched: it fails when it brings nothing for too long, and it knows whether it was
//! read to its end.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::observability::ReceivedBytes;

/// Says whether a request body was read to its end; cheap to clone, outlives the body.
#[derive(Clone)]
pub(super) struct ReadToEnd(Arc<AtomicBool>);

impl ReadToEnd {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How slow a body may be.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// The longest wait for any byte.
    pub(super) stall: Duration,
    /// Bytes a second at least, over each `stall` of waiting.
    pub(super) min_rate: u64,
}

/// A request body that fails with [`io::ErrorKind::TimedOut`] (as the innermost source of the body error) when
/// somebody waits for it and it brings nothing, or too little, for too long. There is no limit on the whole of it.
pub(super) struct WatchedBody {
    inner: Body,
    bounds: Bounds,
    timer: Option<Pin<Box<Sleep>>>,
    waiting_since: Option<Instant>,
    /// How long somebody has waited, and what came meanwhile, since the last look at the rate.
    waited: Duration,
    came: u64,
    received: ReceivedBytes,
    read_to_end: ReadToEnd,
}

impl WatchedBody {
    pub(super) fn new(inner: Body, bounds: Bounds, received: ReceivedBytes) -> (Self, ReadToEnd) {
        let read_to_end = ReadToEnd(Arc::new(AtomicBool::new(inner.is_end_stream())));
        let body = Self {
            inner,
            bounds,
            timer: None,
            waiting_since: None,
            waited: Duration::ZERO,
            came: 0,
            received,
            read_to_end: read_to_end.clone(),
        };
        (body, read_to_end)
    }

    /// Ready when the wait that began with the first pending poll has lasted for the limit.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let deadline = now + self.bounds.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if self.waiting_since.is_none() {
            self.waiting_since = Some(now);
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }

    /// Counts what came; false when the body is too slow to be waited for any longer.
    fn is_fast_enough(&mut self, bytes: usize) -> bool {
        self.received.add(bytes);
        self.came += bytes as u64;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        if self.waited < self.bounds.stall {
            return true;
        }
        let enough = self.waited.as_secs_f64() * self.bounds.min_rate as f64;
        let came = std::mem::take(&mut self.came);
        self.waited = Duration::ZERO;
        came as f64 >= enough
    }
}

fn timed_out(text: &'static str) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
    Poll::Ready(Some(Err(axum::Error::new(io::Error::new(io::ErrorKind::TimedOut, text)))))
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                let bytes = match &frame {
                    Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
                    _ => 0,
                };
                let fast_enough = this.is_fast_enough(bytes);
                if frame.is_none() || this.inner.is_end_stream() {
                    this.read_to_end.0.store(true, Ordering::Relaxed);
                } else if !fast_enough {
                    return timed_out("the request body comes too slowly");
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                ready!(this.poll_stalled(cx));
                timed_out("the request body stalled")
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
