//! Reading a blob: large blocks, one read ahead of the client, into buffers that are used again.

use std::{
    io,
    ops::{Deref, RangeInclusive},
    os::unix::fs::FileExt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, future::BoxFuture, stream};
use tokio::runtime::Handle;

use super::{
    Registry, RegistryError,
    block_buffers::BlockSize,
    blocking::Work,
    integrity::{FirstRead, Verdict},
};
use crate::{
    oci::Digest,
    storage::{BlobFile, Storage},
};

/// A client that takes its blocks at this rate or faster gets large ones, in bytes a second.
const FAST: usize = 16 << 20;

/// How long an answer that must be cut waits for the damage to be confirmed: whoever asks again then is told at
/// once that the blob is not there.
const CONFIRMATION: Duration = Duration::from_secs(5);

/// An open blob. Clones share the file.
#[derive(Clone)]
pub struct BlobReader {
    registry: Registry,
    digest: Digest,
    file: Arc<OpenFile>,
}

/// A file that is closed on a thread that may block: closing can wait for the file server as any other call can.
struct OpenFile(Option<BlobFile>);

impl Deref for OpenFile {
    type Target = BlobFile;

    fn deref(&self) -> &BlobFile {
        self.0.as_ref().expect("a file until it is dropped")
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let file = self.0.take();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

impl BlobReader {
    pub(super) fn new(registry: Registry, digest: Digest, file: BlobFile) -> Self {
        Self { registry, digest, file: Arc::new(OpenFile(Some(file))) }
    }

    /// Size of the blob in bytes.
    pub fn size(&self) -> u64 {
        self.file.identity.size
    }

    /// The bytes of a range, which must lie within the size.
    ///
    /// An error in the stream means that the rest cannot be had: the answer must be cut off, not ended. The last
    /// block of the range comes only when the whole blob is known to have its digest.
    pub fn read(
        &self,
        range: RangeInclusive<u64>,
    ) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
        let integrity = &self.registry.inner.integrity;
        let reading = Reading {
            reader: self.clone(),
            first_read: integrity.first_read(&self.digest, &self.file.identity),
            next: *range.start(),
            last: *range.end(),
            ahead: None,
            given: None,
        };
        stream::unfold(reading, |mut reading| async move {
            let size = reading.block_size();
            reading.read_ahead(size);
            let mut block = reading.ahead.take()?.await;
            // The one after it is read while the client takes this one.
            reading.read_ahead(size);
            if block.is_ok()
                && reading.ahead.is_none()
                && let Some(first_read) = reading.first_read.take()
                && let Err(error) = reading.reader.verify(first_read).await
            {
                block = Err(error);
            }
            reading.given = block.as_ref().ok().map(|block| (Instant::now(), block.len()));
            Some((block, reading))
        })
    }

    /// Begins to read a block; the result is waited for later.
    fn block(
        &self,
        first_read: Option<Arc<FirstRead>>,
        offset: u64,
        length: usize,
        size: BlockSize,
    ) -> Block {
        let reader = self.clone();
        let read = move || {
            let mut buffer = reader.registry.inner.buffers.take(size);
            reader.read_exact(&mut buffer.bytes[..length], offset)?;
            if let Some(first_read) = first_read {
                first_read.take_in(offset, &buffer.bytes[..length]);
            }
            Ok(buffer.into_bytes(length))
        };
        let result = self.registry.inner.blocking.run(Work::Read, read);
        result
            .map(|result| result.unwrap_or_else(|error: RegistryError| Err(io::Error::other(error))))
            .boxed()
    }

    /// Reads a block; once more, through the name of the blob, when the first try fails: after a file server came
    /// back the handle may be stale (`ESTALE`) while the file is there, and a failure may pass. Blocks.
    fn read_exact(&self, block: &mut [u8], offset: u64) -> Result<(), io::Error> {
        let Err(error) = self.file.file.read_exact_at(block, offset) else { return Ok(()) };
        match self.registry.inner.storage.open_stored(&self.file.stored_as) {
            Ok(Some(again)) if again.identity == self.file.identity => {
                again.file.read_exact_at(block, offset)
            }
            _ => Err(error),
        }
    }

    /// Waits until the whole blob is hashed, reading what no client has read yet.
    async fn verify(&self, first_read: Arc<FirstRead>) -> Result<(), io::Error> {
        let guard = first_read.reading_on.lock().await;
        while first_read.verdict().is_none() {
            let (read, file) = (first_read.clone(), self.file.file.clone());
            let piece = self.registry.inner.blocking.run(Work::Read, move || read.read_on(&file)).await;
            piece.map_err(io::Error::other)??;
        }
        drop(guard);
        let integrity = &self.registry.inner.integrity;
        if first_read.verdict() == Some(Verdict::Right) {
            if !integrity.is_proven(&self.digest, &self.file.identity) {
                integrity.prove(&self.digest, self.file.identity);
            }
            return Ok(());
        }
        integrity.count(|counters| &counters.reads_cut);
        let (registry, stored_as) = (self.registry.clone(), self.file.stored_as.clone());
        let confirmation = tokio::spawn(async move {
            let integrity = registry.inner.integrity.clone();
            let examine = move |storage: &Storage| integrity.examine(storage, &stored_as);
            if let Err(error) = registry.storage(Work::Write, examine).await {
                tracing::error!(%error, "cannot confirm the damage of stored content");
            }
        });
        let _ = tokio::time::timeout(CONFIRMATION, confirmation).await;
        Err(io::Error::other("the stored content does not have its digest"))
    }
}

type Block = BoxFuture<'static, Result<Bytes, io::Error>>;

struct Reading {
    reader: BlobReader,
    first_read: Option<Arc<FirstRead>>,
    next: u64,
    last: u64,
    /// The block after the one that the client takes.
    ahead: Option<Block>,
    /// When the client was given the last block, and its size in bytes.
    given: Option<(Instant, usize)>,
}

impl Reading {
    /// By how fast the client took the last block, now that it wants the next.
    fn block_size(&self) -> BlockSize {
        match self.given {
            Some((given, bytes)) if is_fast(bytes, given.elapsed()) => BlockSize::Large,
            _ => BlockSize::Small,
        }
    }

    fn read_ahead(&mut self, size: BlockSize) {
        if self.ahead.is_some() || self.next > self.last {
            return;
        }
        let left = self.last - self.next + 1;
        let length = usize::try_from(left).map_or(size.bytes(), |left| left.min(size.bytes()));
        self.ahead = Some(self.reader.block(self.first_read.clone(), self.next, length, size));
        self.next += length as u64;
    }
}

fn is_fast(bytes: usize, took: Duration) -> bool {
    took.as_secs_f64() * FAST as f64 <= bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fast_client_gets_large_blocks() {
        let small = BlockSize::Small.bytes();
        assert!(is_fast(small, Duration::from_millis(3)) && !is_fast(small, Duration::from_millis(5)));
        assert!(is_fast(BlockSize::Large.bytes(), Duration::from_millis(15)));
    }
}
