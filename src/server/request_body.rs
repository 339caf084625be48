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

/// Says whether a request body was read to its end; cheap to clone, outlives the body.
#[derive(Clone)]
pub(super) struct ReadToEnd(Arc<AtomicBool>);

impl ReadToEnd {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request body that fails with [`io::ErrorKind::TimedOut`] (as the innermost source of the body error) when
/// somebody waits for it and it brings nothing for `limit`.
pub(super) struct WatchedBody {
    inner: Body,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    read_to_end: ReadToEnd,
}

impl WatchedBody {
    pub(super) fn new(inner: Body, limit: Duration) -> (Self, ReadToEnd) {
        let read_to_end = ReadToEnd(Arc::new(AtomicBool::new(inner.is_end_stream())));
        let body = Self { inner, limit, timer: None, waiting: false, read_to_end: read_to_end.clone() };
        (body, read_to_end)
    }

    /// Ready when the wait that began with the first pending poll has lasted for the limit.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
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
                this.waiting = false;
                if frame.is_none() || this.inner.is_end_stream() {
                    this.read_to_end.0.store(true, Ordering::Relaxed);
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                ready!(this.poll_stalled(cx));
                let stalled = io::Error::new(io::ErrorKind::TimedOut, "the request body stalled");
                Poll::Ready(Some(Err(axum::Error::new(stalled))))
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
