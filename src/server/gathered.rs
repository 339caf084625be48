//! What HTTP/2 writes frame by frame, gathered into pieces that are worth a TLS record and a system call.
//!
//! A client's frames are 16 KiB long, with their head nine bytes more than a TLS record takes, and h2 asks for a flush
//! after each: a gigabyte was 61,000 system calls and twice as many records.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes passed on at once: four TLS records, which is what rustls holds.
const PIECE: usize = 64 << 10;

/// A flush for fewer bytes than this is done at once: control frames and small answers are not waited for.
const WORTH_WAITING: usize = 4 << 10;

/// A stream whose writes are gathered. A flush after a large write is put off until it is asked for again with nothing
/// written between; whoever asked is woken, so that it asks again.
pub(super) struct GatheredStream<S> {
    inner: S,
    /// Without memory while there is nothing to pass on: most connections of HTTP/2 are idle.
    gathered: Vec<u8>,
    /// How many of the gathered bytes are passed on.
    passed_on: usize,
    /// Bytes written since a flush was asked for.
    since_flush: usize,
}

impl<S: AsyncWrite + Unpin> GatheredStream<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, gathered: Vec::new(), passed_on: 0, since_flush: 0 }
    }

    /// Passes on whole pieces, or all that is gathered.
    fn pass_on(&mut self, cx: &mut Context<'_>, all: bool) -> Poll<io::Result<()>> {
        loop {
            let rest = &self.gathered[self.passed_on..];
            if rest.len() < PIECE && (!all || rest.is_empty()) {
                break;
            }
            let piece = &rest[..rest.len().min(PIECE)];
            match ready!(Pin::new(&mut self.inner).poll_write(cx, piece))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.passed_on += written,
            }
        }
        self.gathered.drain(..self.passed_on);
        self.passed_on = 0;
        if all {
            self.gathered = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GatheredStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GatheredStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.pass_on(cx, false))?;
        let before = self.gathered.len();
        for buf in bufs {
            self.gathered.extend_from_slice(buf);
        }
        let written = self.gathered.len() - before;
        self.since_flush += written;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.since_flush) >= WORTH_WAITING {
            cx.waker().wake_by_ref();
            return self.pass_on(cx, false);
        }
        ready!(self.pass_on(cx, true))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.pass_on(cx, true))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Keeps the sizes of what is written.
    #[derive(Default)]
    struct Writes(Vec<usize>);

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(buf.len());
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn frames_go_out_in_pieces_and_none_of_them_is_forgotten() {
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let mut cx = Context::from_waker(&waker);
        let mut stream = GatheredStream::new(Writes::default());
        let frame = [0; 16393];
        for _ in 0..5 {
            assert!(Pin::new(&mut stream).poll_write(&mut cx, &frame).is_ready());
            assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready());
        }
        assert_eq!(stream.inner.0, [PIECE]);
        assert_eq!(woken.0.load(Ordering::Relaxed), 5, "who asked will ask again");
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready());
        assert_eq!(stream.inner.0, [PIECE, 5 * frame.len() - PIECE]);
        assert_eq!(stream.gathered.capacity(), 0);
        assert!(Pin::new(&mut stream).poll_write(&mut cx, b"a small answer").is_ready());
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready());
        assert_eq!(stream.inner.0.last(), Some(&14));
        assert_eq!(woken.0.load(Ordering::Relaxed), 5);
    }

    #[tokio::test]
    async fn a_slow_reader_gets_every_byte_and_holds_little_memory() {
        let (near, mut far) = tokio::io::duplex(1000);
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let mut stream = GatheredStream::new(near);
            let mut most = 0;
            for frame in sent.chunks(30_000) {
                stream.write_all(frame).await.unwrap();
                poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await.unwrap();
                most = most.max(stream.gathered.len());
            }
            stream.shutdown().await.unwrap();
            most
        });
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert!(read == expected);
        assert!(writing.await.unwrap() < 2 * PIECE);
    }
}
