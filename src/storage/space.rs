//! How much room the volume has, as far as the file server says.

use std::path::Path;

use super::{Storage, StorageError, error::IoContext, lookup};

/// Room on the volume. What a file server reports may be old, a quota or a thin pool: good for refusing early,
/// no proof that a write will succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes that we may still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Files that can still be made.
    pub free_files: u64,
    /// Files in all; 0 where the file system has no such number.
    pub total_files: u64,
}

/// Files kept back for metadata, of those that can still be made.
const KEEP_FREE_FILES: u64 = 1000;

impl Space {
    /// Whether less is left than is kept back for manifests, links and tags: `keep_free` bytes or 1000 files, but
    /// of a small volume at most a twentieth.
    pub fn is_low(&self, keep_free: u64) -> bool {
        self.free_bytes < self.bytes_kept(keep_free)
            || self.total_files > 0 && self.free_files < KEEP_FREE_FILES.min(self.total_files / 20)
    }

    /// Asks the file system that `directory` is on.
    pub(super) fn of(directory: &Path) -> Result<Self, StorageError> {
        let found = rustix::fs::statvfs(directory).context("look up", directory)?;
        Ok(Self {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_files: found.f_favail,
            total_files: found.f_files,
        })
    }

    /// How many bytes are kept back on this volume.
    pub fn bytes_kept(&self, keep_free: u64) -> u64 {
        keep_free.min(self.total_bytes / 20)
    }
}

impl Storage {
    /// Asks the volume how much room it has; fails when the volume is not there.
    pub fn space(&self) -> Result<Space, StorageError> {
        let blobs = self.layout.blobs();
        lookup::require_directory(&blobs)?;
        Space::of(&blobs)
    }

    /// Bytes kept free for metadata (`storage.keep_free`).
    pub fn keep_free(&self) -> u64 {
        self.config.keep_free
    }

    /// The error of a volume that has less room than is kept free.
    pub fn low_on_space(&self) -> StorageError {
        StorageError::OutOfSpace {
            operation: "keep storage.keep_free bytes free on",
            path: self.layout.v2().to_path_buf(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_is_by_bytes_or_files_and_a_small_volume_is_not_all_kept_back() {
        let space =
            Space { free_bytes: 100 << 20, total_bytes: 10 << 30, free_files: 5000, total_files: 100_000 };
        assert!(!space.is_low(64 << 20));
        assert!(space.is_low(128 << 20));
        assert!(Space { free_files: 999, ..space }.is_low(64 << 20));
        assert!(!Space { free_files: 0, total_files: 0, ..space }.is_low(64 << 20), "no such number");
        let small = Space { free_bytes: 30 << 20, total_bytes: 64 << 20, free_files: 900, total_files: 1000 };
        assert!(!small.is_low(64 << 20), "a twentieth of it is kept");
        assert!(Space { free_bytes: 3 << 20, ..small }.is_low(64 << 20));
        assert!(Space { free_files: 49, ..small }.is_low(64 << 20));
    }
}
