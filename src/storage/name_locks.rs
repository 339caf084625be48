//! Locks of this process between reading a small file and replacing or removing its name.
//!
//! An NFS client that replaces or removes a name which it has open renames the old file to a name that begins with
//! `.nfs` first (Linux, `nfs_rename` and `nfs_unlink`): until its next call the name is nowhere, so that another client
//! could answer "not found" for a tag that only moves, and the client could lose its power in between. So nobody here
//! has a link open while its name changes. Other processes on the same mount are out of reach: who finds no link looks
//! for a `.nfs` file beside it, and waits. The locks are of the process and not of a volume, as the client's memory is.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// More than there are threads for the volume, so that two names seldom share one.
const LOCKS: usize = 256;

static NAMES: [RwLock<()>; LOCKS] = [const { RwLock::new(()) }; LOCKS];

/// Held while the file of a name is open.
pub(super) fn reading(path: &Path) -> RwLockReadGuard<'static, ()> {
    lock_of(path).read().unwrap_or_else(PoisonError::into_inner)
}

/// Held while a name is replaced or removed. Not to be taken by who holds one already.
pub(super) fn changing(path: &Path) -> RwLockWriteGuard<'static, ()> {
    lock_of(path).write().unwrap_or_else(PoisonError::into_inner)
}

fn lock_of(path: &Path) -> &'static RwLock<()> {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    &NAMES[usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or_default()]
}
