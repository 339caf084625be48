//! Reading from a socket in large pieces while much comes in.
//!
//! rustls reads a record of 16 KiB at a time, so a fast upload would cost a system call for each. A connection gets a
//! buffer when what it asked for came at once, and gives it back when less comes: one that is idle has none.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Size of the buffer, in bytes: eight records.
const SIZE: usize = 128 << 10;

/// A stream that is read ahead.
pub(super) struct ReadAhead<S> {
    inner: S,
    buffer: Vec<u8>,
    /// What of the buffer was taken.
    taken: usize,
    /// Whether the last read filled all the room it had.
    is_fast: bool,
}

impl<S> ReadAhead<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, buffer: Vec::new(), taken: 0, is_fast: false }
    }

    fn take(&mut self, buf: &mut ReadBuf<'_>) {
        let left = &self.buffer[self.taken..];
        let step = left.len().min(buf.remaining());
        buf.put_slice(&left[..step]);
        self.taken += step;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.taken < this.buffer.len() {
            this.take(buf);
            return Poll::Ready(Ok(()));
        }
        if !this.is_fast || buf.remaining() >= SIZE {
            let before = buf.remaining();
            ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
            this.is_fast = before > 0 && buf.remaining() == 0;
            return Poll::Ready(Ok(()));
        }
        this.buffer.resize(SIZE, 0);
        let mut space = ReadBuf::new(&mut this.buffer);
        let poll = Pin::new(&mut this.inner).poll_read(cx, &mut space);
        let read = space.filled().len();
        this.buffer.truncate(read);
        this.taken = 0;
        if !matches!(poll, Poll::Ready(Ok(()))) || read < buf.remaining() {
            this.is_fast = false;
        }
        ready!(poll)?;
        this.take(buf);
        if !this.is_fast && this.taken == this.buffer.len() {
            this.buffer = Vec::new();
            this.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_come_in_order_and_an_idle_connection_has_no_buffer() {
        let (mut client, server) = tokio::io::duplex(SIZE * 3);
        let mut server = ReadAhead::new(server);
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let copy = sent.clone();
        let writer = tokio::spawn(async move {
            client.write_all(&copy).await.unwrap();
            client
        });
        let mut received = Vec::new();
        let mut room = [0; 16 << 10];
        while received.len() < sent.len() {
            let count = server.read(&mut room).await.unwrap();
            assert_ne!(count, 0);
            received.extend_from_slice(&room[..count]);
        }
        assert!(received == sent);
        let mut client = writer.await.unwrap();
        client.write_all(b"slow").await.unwrap();
        assert_eq!(server.read(&mut room).await.unwrap(), 4);
        assert!(server.buffer.capacity() == 0 && !server.is_fast);
        drop(client);
        assert_eq!(server.read(&mut room).await.unwrap(), 0, "the end is the end");
    }
}
