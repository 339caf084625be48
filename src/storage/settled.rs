//! Making names durable: flushing the directories that lead to them.
//!
//! Whoever sees a directory, a link or a blob cannot know whether the server that made it has flushed its name yet,
//! or died before it could. So whoever acknowledges something flushes every directory on the way to it, from the
//! one that holds it to the top of the volume, whoever made them. Those that are never removed are flushed once by
//! each process and remembered; forgetting one costs a flush and nothing else.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{Storage, StorageError, atomic_file};

/// Directories remembered. Beyond that all are forgotten: a volume of 10,000 repositories fits.
const REMEMBERED: usize = 100_000;

/// Directories whose name, and all names above it, this process has made durable, with their inodes: one that was
/// removed by hand and made again is another.
#[derive(Debug, Default)]
pub(super) struct Settled(Mutex<HashMap<PathBuf, u64>>);

impl Settled {
    pub(super) fn contains(&self, directory: &Path, inode: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(directory) == Some(&inode)
    }

    fn insert(&self, directory: &Path, inode: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(directory.to_path_buf(), inode);
    }
}

impl Storage {
    /// Makes the names in `directory` durable, and its own, and all names above it. From `permanent` upwards
    /// directories are never removed.
    pub(super) fn settle(&self, directory: &Path, permanent: &Path) -> Result<(), StorageError> {
        for removable in directory.ancestors().take_while(|ancestor| *ancestor != permanent) {
            match atomic_file::sync_directory(removable) {
                // A delete at the same time took it away, with all that was in it.
                Err(StorageError::NotFound) => {}
                result => result.map(drop)?,
            }
        }
        self.settle_permanent(permanent)
    }

    /// Makes the names in `directory` durable, and its own, and all names above it.
    pub(super) fn settle_permanent(&self, directory: &Path) -> Result<(), StorageError> {
        let inode = atomic_file::sync_directory(directory)?;
        if directory == self.layout.v2() || self.settled.contains(directory, inode) {
            return Ok(());
        }
        if let Some(parent) = directory.parent() {
            self.settle_permanent(parent)?;
        }
        self.settled.insert(directory, inode);
        Ok(())
    }
}
