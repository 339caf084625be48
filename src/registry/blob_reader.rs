//! Reading a blob: large blocks, one read ahead of the client, into buffers that are used again.

use std::{
    collections::VecDeque,
    io,
    ops::{Deref, RangeInclusive},
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, future::BoxFuture, stream};
use tokio::runtime::Handle;

use super::{
    Registry, RegistryError,
    blocking::Work,
    integrity::{FirstRead, Verdict},
};
use crate::{
    oci::Digest,
    storage::{BlobFile, Storage},
};

/// Size of a block, in bytes. Larger ones cost less CPU a byte and more memory a download.
const BLOCK: usize = 256 * 1024;

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
            ahead: VecDeque::new(),
        };
        stream::unfold(reading, |mut reading| async move {
            reading.read_ahead();
            let mut block = reading.ahead.pop_front()?.await;
            // The one after it is read while the client takes this one.
            reading.read_ahead();
            if block.is_ok()
                && reading.ahead.is_empty()
                && let Some(first_read) = reading.first_read.take()
                && let Err(error) = reading.reader.verify(first_read).await
            {
                block = Err(error);
            }
            Some((block, reading))
        })
    }

    async fn block(
        self,
        first_read: Option<Arc<FirstRead>>,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, io::Error> {
        let blocking = self.registry.inner.blocking.clone();
        let read = move || {
            let mut buffer = self.registry.inner.buffers.take();
            self.read_exact(&mut buffer.0[..length], offset)?;
            if let Some(first_read) = first_read {
                first_read.take_in(offset, &buffer.0[..length]);
            }
            Ok(Bytes::from_owner(Filled { buffer, length }))
        };
        let result = blocking.run(Work::Read, read).await;
        result.unwrap_or_else(|error: RegistryError| Err(io::Error::other(error)))
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

struct Reading {
    reader: BlobReader,
    first_read: Option<Arc<FirstRead>>,
    next: u64,
    last: u64,
    ahead: VecDeque<BoxFuture<'static, Result<Bytes, io::Error>>>,
}

impl Reading {
    fn read_ahead(&mut self) {
        if !self.ahead.is_empty() || self.next > self.last {
            return;
        }
        let left = self.last - self.next + 1;
        let length = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        let task = tokio::spawn(self.reader.clone().block(self.first_read.clone(), self.next, length));
        self.next += length as u64;
        self.ahead.push_back(
            task.map(|result| result.unwrap_or_else(|error| Err(io::Error::other(error)))).boxed(),
        );
    }
}

/// Buffers of one block, given back when the client has taken their bytes.
#[derive(Clone, Default)]
pub(super) struct BufferPool(Arc<Mutex<Vec<Box<[u8]>>>>);

impl BufferPool {
    /// Most buffers kept for later: 8 MiB.
    const KEPT: usize = 32;

    fn take(&self) -> Buffer {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer(kept.unwrap_or_else(|| vec![0; BLOCK].into_boxed_slice()), self.clone())
    }
}

struct Buffer(Box<[u8]>, BufferPool);

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut kept = self.1.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < BufferPool::KEPT {
            kept.push(std::mem::take(&mut self.0));
        }
    }
}

struct Filled {
    buffer: Buffer,
    length: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.0[..self.length]
    }
}
