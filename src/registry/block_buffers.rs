//! Memory for the blocks of downloads, used again: a block is filled from the volume and given back when the client
//! has taken its bytes.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Sizes of a block. A large one costs less CPU a byte, as a thread is woken for each; a small one costs a slow
/// client's download less memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockSize {
    /// 64 KiB.
    Small,
    /// 256 KiB.
    Large,
}

impl BlockSize {
    /// In bytes.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Small => 64 << 10,
            Self::Large => 256 << 10,
        }
    }

    /// Most buffers kept for later: 2 and 8 MiB.
    fn kept(self) -> usize {
        match self {
            Self::Small => 32,
            Self::Large => 32,
        }
    }
}

/// Buffers that wait to be used again. Clones share them.
#[derive(Clone, Default)]
pub(super) struct BufferPool(Arc<[Kept; 2]>);

/// Those of one size.
type Kept = Mutex<Vec<Box<[u8]>>>;

impl BufferPool {
    /// A buffer with at least the room of its size; what is in it is of no account.
    pub(super) fn take(&self, size: BlockSize) -> Buffer {
        let kept = self.of(size).lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = kept.unwrap_or_else(|| vec![0; size.bytes()].into_boxed_slice());
        Buffer { bytes, size, pool: self.clone() }
    }

    fn of(&self, size: BlockSize) -> &Kept {
        &self.0[size as usize]
    }
}

/// A buffer of the pool, given back when it is dropped.
pub(super) struct Buffer {
    pub(super) bytes: Box<[u8]>,
    size: BlockSize,
    pool: BufferPool,
}

impl Buffer {
    /// Its first `length` bytes, without a copy; it is given back with the last of them.
    pub(super) fn into_bytes(self, length: usize) -> Bytes {
        Bytes::from_owner(Filled { buffer: self, length })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut kept = self.pool.of(self.size).lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < self.size.kept() {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

struct Filled {
    buffer: Buffer,
    length: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_its_bytes_are_gone() {
        let pool = BufferPool::default();
        let mut buffer = pool.take(BlockSize::Small);
        buffer.bytes[..3].copy_from_slice(b"abc");
        let bytes = buffer.into_bytes(3);
        let part = bytes.slice(1..);
        drop(bytes);
        assert!(pool.of(BlockSize::Small).lock().unwrap().is_empty(), "a part of it is still there");
        assert_eq!(&part[..], b"bc");
        drop(part);
        assert_eq!(pool.of(BlockSize::Small).lock().unwrap().len(), 1);
        assert_eq!(pool.take(BlockSize::Large).bytes.len(), BlockSize::Large.bytes());
        let all: Vec<Buffer> = (0..40).map(|_| pool.take(BlockSize::Small)).collect();
        drop(all);
        assert_eq!(pool.of(BlockSize::Small).lock().unwrap().len(), BlockSize::Small.kept());
    }
}
