//! Reading a blob: large blocks, one read ahead of the client, into buffers that are used again.

use std::{
    collections::VecDeque,
    io,
    ops::RangeInclusive,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, future::BoxFuture, stream};

use super::{
    RegistryError,
    blocking::{Blocking, Work},
};
use crate::storage::BlobFile;

/// Size of a block, in bytes. Larger ones cost less CPU a byte and more memory a download.
const BLOCK: usize = 256 * 1024;

/// An open blob. Clones share the file.
#[derive(Clone)]
pub struct BlobReader {
    file: BlobFile,
    blocking: Blocking,
    buffers: BufferPool,
}

impl BlobReader {
    pub(super) fn new(file: BlobFile, blocking: Blocking, buffers: BufferPool) -> Self {
        Self { file, blocking, buffers }
    }

    /// Size of the blob in bytes.
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// The bytes of a range, which must lie within the size.
    ///
    /// An error in the stream means that the rest cannot be had: the answer must be cut off, not ended.
    pub fn read(
        &self,
        range: RangeInclusive<u64>,
    ) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
        let reading = Reading {
            reader: self.clone(),
            next: *range.start(),
            last: *range.end(),
            ahead: VecDeque::new(),
        };
        stream::unfold(reading, |mut reading| async move {
            reading.read_ahead();
            let block = reading.ahead.pop_front()?.await;
            // The one after it is read while the client takes this one.
            reading.read_ahead();
            Some((block, reading))
        })
    }

    async fn block(self, offset: u64, length: usize) -> Result<Bytes, io::Error> {
        let read = move || {
            let mut buffer = self.buffers.take();
            self.file.file.read_exact_at(&mut buffer.0[..length], offset)?;
            Ok(Bytes::from_owner(Filled { buffer, length }))
        };
        let blocking = self.blocking.clone();
        blocking
            .run(Work::Read, read)
            .await
            .unwrap_or_else(|error: RegistryError| Err(io::Error::other(error)))
    }
}

struct Reading {
    reader: BlobReader,
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
        let task = tokio::spawn(self.reader.clone().block(self.next, length));
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
