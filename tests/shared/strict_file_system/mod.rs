//! A file system that promises what POSIX promises and no more: what was not flushed may be gone after a power cut.
//!
//! It is mounted through FUSE and keeps everything in memory. A program on it sees a quite ordinary file system
//! ([`live`]); every change is written down in a [`journal`] too, and from the journal up to any record the states
//! that a power cut there may leave are made ([`crash`]). One store can be mounted several times, as one share by
//! several clients, and each mount can be told to fail, to hang, or to answer from a cache as an NFS client does
//! ([`faults`]).
//!
//! # What is durable
//! - The bytes and the size of a file: by fsync or fdatasync of that file. Nothing else, not even closing it.
//! - A name in a directory: by fsync of that directory. Flushing a new file does not keep its name (ext4 keeps it;
//!   POSIX does not say so), and flushing a directory does not keep the directory's own name in the one above.
//!
//! # What a power cut may leave of the rest
//! Any part of it that is closed under these rules:
//! - Changes of one name happen in their order; changes of different names are independent, in one directory too
//!   (btrfs reorders them; ext4 and XFS, which do not, are the special case of a prefix).
//! - A rename within a directory is one change. One between directories is two: the new name, then the loss of the
//!   old one, and the second never without the first, since every journaling file system has both in one
//!   transaction. Flushing the new directory keeps the new name and promises nothing of the old, which may be there
//!   still.
//! - Of the bytes of a file that were not flushed any page may be there or not: a file may be empty, cut short, or
//!   have zeros where it grew. Flushed bytes that were overwritten are the old or the new ones, page by page.
//! - What hangs below a name that is lost is lost with it.
#![allow(dead_code, reason = "several test targets include this, and none uses all of it")]

pub(crate) mod crash;
pub(crate) mod faults;
mod fuse;
pub(crate) mod journal;
mod live;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use faults::Gate;
use journal::Record;
use live::Live;

/// The store: what is mounted. Clones are the same store.
#[derive(Clone, Default)]
pub(crate) struct StrictFileSystem {
    live: Arc<Mutex<Live>>,
}

impl StrictFileSystem {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Mounts it on an empty directory, once for each client that shall have faults and caches of its own.
    ///
    /// # Panics
    /// When it cannot be mounted: `/dev/fuse`, and root or `fusermount3`, are required.
    #[track_caller]
    pub(crate) fn mount(&self, directory: &Path) -> Mount {
        let gate = Arc::new(Gate::default());
        let session = fuse::mount(self.live.clone(), gate.clone(), directory)
            .unwrap_or_else(|error| panic!("FUSE on {}: {error}; is there /dev/fuse?", directory.display()));
        Mount { gate, session: Some(session), directory: directory.to_path_buf() }
    }

    /// How many changes and flushes there were so far: the position of a power cut now.
    pub(crate) fn position(&self) -> usize {
        self.lock().journal.len()
    }

    /// All changes and flushes so far.
    pub(crate) fn journal(&self) -> Vec<Record> {
        self.journal_from(0)
    }

    /// Those from a position on.
    pub(crate) fn journal_from(&self, position: usize) -> Vec<Record> {
        self.lock().journal[position..].to_vec()
    }

    /// Sets the clock of the file server, in seconds ahead of this machine's: files are stamped with it from now on.
    pub(crate) fn set_clock(&self, ahead: i64) {
        self.lock().clock_ahead = ahead;
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client of the store; unmounted when dropped. Programs that have files open there must be gone by then.
pub(crate) struct Mount {
    gate: Arc<Gate>,
    session: Option<fuser::BackgroundSession>,
    directory: PathBuf,
}

impl Mount {
    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// What its calls do: see there.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A hung call would keep the mount, and the program that waits for it.
        self.gate.abandon();
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}
