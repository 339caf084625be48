//! What could not be tidied up when it should have been, because the volume failed: done again once it works.
//!
//! Kept in memory only: a server that dies leaves it behind, and nothing needs it to be gone. Without this a
//! volume that fails for a moment would leave temporary files for ever, and uploads that nobody may write until
//! they are taken over.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    Storage, StorageError, atomic_file,
    layout::{STARTED_AT, STATE},
    removal,
};

/// Something to do with names that nobody else uses, so that it may be done at any later time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    /// A temporary file, to be removed.
    File(PathBuf),
    /// The directory of an upload that has ended, to be removed with all in it.
    Upload(PathBuf),
    /// The file of a claimed upload, to be given back under its common name.
    Claim {
        /// The name that only the claim had.
        claimed: PathBuf,
        /// The name under which the next request claims it.
        data: PathBuf,
    },
    /// The directory of a deleted tag, to be removed unless the tag has come back.
    Tag(PathBuf),
}

/// More than this are not remembered: by then the volume has failed for long.
const MOST: usize = 10_000;

/// Locked for moments only, never during a call on the volume: who drops a claim may be on an async thread.
static LEFT: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

pub(super) fn list() -> MutexGuard<'static, Vec<Leftover>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Leftover {
    /// Tidies up, now if that can be, else later.
    pub(super) fn clear(self) {
        if let Err(error) = self.try_clear() {
            tracing::warn!(?self, %error, "something is left on the volume until it works again");
            self.remember();
        }
    }

    /// Tidies up later.
    pub(super) fn remember(self) {
        let mut left = list();
        if left.len() < MOST && !left.contains(&self) {
            left.push(self);
        }
    }

    fn try_clear(&self) -> io::Result<()> {
        match self {
            Self::File(path) => removal::try_remove_file(path),
            // Without either of the two the upload is not there any more.
            Self::Upload(directory) => removal::try_remove_tree(directory, &[STARTED_AT, STATE]),
            Self::Claim { claimed, data } => match atomic_file::rename(claimed, data, || false) {
                // Another server took it over meanwhile.
                Ok(()) | Err(StorageError::NotFound) => Ok(()),
                Err(error) => Err(io::Error::other(error)),
            },
            Self::Tag(directory) => clear_tag(directory),
        }
    }
}

/// Removes what is left of a deleted tag. A push that comes back to the tag meanwhile keeps its files: its
/// `current` is not empty, and what registry:2 kept in `index` is not needed to read the tag.
fn clear_tag(directory: &Path) -> io::Result<()> {
    let current = directory.join("current");
    removal::remove_old_temporaries(&current);
    removal::try_remove_directory(&current)?;
    if current.try_exists()? {
        return Ok(());
    }
    removal::try_remove_tree(&directory.join("index"), &[])?;
    removal::try_remove_directory(directory)
}

impl Storage {
    /// Removes and gives back what could not be when it should have been, since the volume failed then. Costs
    /// nothing when there is nothing. What is left is of all volumes of this process.
    pub fn tidy_up() {
        let mut left = std::mem::take(&mut *list());
        if left.is_empty() {
            return;
        }
        // Without the lock: while the volume hangs whoever has something to remember goes on.
        left.retain(|leftover| leftover.try_clear().is_err());
        let mut list = list();
        list.append(&mut left);
        list.truncate(MOST);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn what_cannot_be_tidied_up_yet_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let [file, other] = ["file", "other"].map(|name| directory.path().join(name));
        fs::File::create_new(&file).unwrap();
        // It is no file yet.
        fs::create_dir(&other).unwrap();
        for path in [&file, &other] {
            Leftover::File(path.clone()).remember();
        }
        tidy_up_until(|| !file.exists());
        fs::remove_dir(&other).unwrap();
        fs::File::create_new(&other).unwrap();
        tidy_up_until(|| !other.exists());
    }

    /// Other tests tidy up at the same time, with what this one left.
    fn tidy_up_until(is_done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_done() {
            assert!(Instant::now() < deadline, "something is left");
            Storage::tidy_up();
        }
    }
}
