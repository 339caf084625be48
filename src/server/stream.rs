//! The bytes of one connection, guarded: ambiguous framing is made unreadable, slow request heads and stalled
//! answers end in an error, and a close while the client still sends waits until it could read the answer.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{Config, Linger, framing::FramingScanner, refusal};

/// What hyper reads instead of a refused request: a NUL is legal nowhere in a head or a chunk line, so hyper
/// answers 400 and closes; the empty line after it ends a head that had already begun.
const POISON: u8 = 0;
const AFTER_POISON: &[u8] = b"\r\n\r\n";

/// A read buffer for bytes that are thrown away.
const DISCARD: usize = 16 << 10;

/// A stream with the guards of this module; see there.
pub(super) struct GuardedStream<S> {
    inner: S,
    /// `None` for HTTP/2, which frames by itself.
    scanner: Option<FramingScanner>,
    /// After a refusal: what of [`AFTER_POISON`] is still to be read.
    poisoned: Option<&'static [u8]>,
    /// What is still to be written in place of a bare answer of hyper's.
    refusal: Option<&'static [u8]>,
    header_timer: Timer,
    write_timer: Timer,
    linger: Option<Lingering>,
    linger_bounds: Linger,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedStream<S> {
    /// Guards an HTTP/1.1 connection.
    pub(super) fn http1(inner: S, config: &Config) -> Self {
        Self { scanner: Some(FramingScanner::default()), ..Self::http2(inner, config) }
    }

    /// Guards an HTTP/2 connection.
    pub(super) fn http2(inner: S, config: &Config) -> Self {
        Self {
            inner,
            scanner: None,
            poisoned: None,
            refusal: None,
            header_timer: Timer::new(config.header_timeout),
            write_timer: Timer::new(config.response_stall),
            linger: None,
            linger_bounds: config.linger,
        }
    }

    /// Whether the client may still be sending a request that nobody will read.
    fn is_mid_message(&self) -> bool {
        self.poisoned.is_some() || self.scanner.as_ref().is_some_and(FramingScanner::is_mid_message)
    }

    /// Passes a write on, and fails when it has been pending for too long.
    fn watch_write<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.write_timer.stop();
            return poll;
        }
        ready!(self.write_timer.poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read the answer")))
    }

    /// Sends a whole answer in place of the bare one that begins with `head`; `None` when it is none of those.
    fn write_refusal(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Option<Poll<io::Result<()>>> {
        if self.refusal.is_none() && self.scanner.is_some() {
            self.refusal = refusal::in_place_of(head);
        }
        let mut rest = self.refusal?;
        let mut poll = Poll::Ready(Ok(()));
        while !rest.is_empty() {
            match Pin::new(&mut self.inner).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => {
                    poll = Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    break;
                }
                Poll::Ready(Ok(written)) => rest = &rest[written..],
                Poll::Ready(Err(error)) => {
                    poll = Poll::Ready(Err(error));
                    break;
                }
                Poll::Pending => {
                    poll = Poll::Pending;
                    break;
                }
            }
        }
        self.refusal = if poll.is_pending() { Some(rest) } else { None };
        Some(self.watch_write(cx, poll))
    }

    /// Lets the scanner see what was just read, from index `start` on.
    fn scan(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let Some(scanner) = &mut self.scanner else { return };
        if let Err((index, error)) = scanner.advance(&buf.filled()[start..]) {
            tracing::debug!(%error, "refusing a request");
            buf.set_filled(start + index + 1);
            buf.filled_mut()[start + index] = POISON;
            self.poisoned = Some(AFTER_POISON);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(rest) = &mut this.poisoned {
            let step = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..step]);
            *rest = &rest[step..];
            return Poll::Ready(Ok(()));
        }
        let start = buf.filled().len();
        let poll = Pin::new(&mut this.inner).poll_read(cx, buf);
        if poll.is_ready() {
            this.scan(buf, start);
        }
        if !this.scanner.as_ref().is_some_and(FramingScanner::is_mid_head) {
            this.header_timer.stop();
            return poll;
        }
        // Not stopped by progress: a head that trickles in is bounded as a whole.
        if this.header_timer.poll(cx).is_ready() && poll.is_pending() {
            let slow = io::Error::new(io::ErrorKind::TimedOut, "the request head came too slowly");
            return Poll::Ready(Err(slow));
        }
        poll
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(refused) = self.write_refusal(cx, buf) {
            return refused.map_ok(|()| buf.len());
        }
        let poll = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch_write(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let head = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        if let Some(refused) = self.write_refusal(cx, head) {
            return refused.map_ok(|()| bufs.iter().map(|buf| buf.len()).sum());
        }
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch_write(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch_write(cx, poll)
    }

    /// Closes our side, then throws away what the client still sends: closing a socket with unread data makes
    /// the kernel send a reset, and the client would report that instead of the answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            let poll = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.watch_write(cx, poll))?;
            this.linger = Some(Lingering::new(this.linger_bounds));
        }
        let may_send_more = this.is_mid_message();
        let Some(linger) = &mut this.linger else { return Poll::Ready(Ok(())) };
        match linger.poll(&mut this.inner, cx) {
            Poll::Pending if may_send_more => Poll::Pending,
            Poll::Pending | Poll::Ready(()) => Poll::Ready(Ok(())),
        }
    }
}

/// Throws away what arrives on `stream`, until its end or the bounds: the close of a connection that was
/// answered before its first request.
pub(super) async fn drain<S: AsyncRead + Unpin>(stream: &mut S, bounds: Linger) {
    let mut lingering = Lingering::new(bounds);
    std::future::poll_fn(|cx| lingering.poll(stream, cx)).await;
}

/// The second half of a close: reading to the end, within bounds.
struct Lingering {
    bytes_left: u64,
    deadline: Pin<Box<Sleep>>,
}

impl Lingering {
    fn new(bounds: Linger) -> Self {
        Self { bytes_left: bounds.bytes, deadline: Box::pin(tokio::time::sleep(bounds.time)) }
    }

    fn poll<S: AsyncRead + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; DISCARD];
        loop {
            if self.bytes_left == 0 || self.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buf = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {
                    self.bytes_left = self.bytes_left.saturating_sub(buf.filled().len() as u64);
                }
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}

/// A timer that is made at the first need and then reused; most connections never wait.
struct Timer {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Timer {
    fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, running: false }
    }

    fn stop(&mut self) {
        self.running = false;
    }

    /// Starts the timer if it does not run; ready when it has run out.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.running {
            self.running = true;
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}
