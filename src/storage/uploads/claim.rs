//! The name that one request alone has for the bytes of an upload, and that gives them back whatever happens.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::storage::{StorageError, atomic_file, layout::DATA, leftovers::Leftover, lookup};

/// A claim: `data.<token>` in the directory of an upload. One that is dropped, since the volume failed or nobody
/// waits for the request any more, is given back as soon as the volume works.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    data: PathBuf,
    inode: Option<u64>,
    held: bool,
}

impl Claim {
    /// A claim that is not held yet.
    pub(super) fn new(directory: &Path) -> Self {
        let path = directory.join(format!("{DATA}.{}", Uuid::new_v4().simple()));
        Self { path, data: directory.join(DATA), inode: None, held: false }
    }

    /// The name that nobody else has.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the common name to ours: who succeeds has the upload.
    pub(super) fn take(&mut self) -> Result<(), StorageError> {
        atomic_file::rename(&self.data, &self.path, || self.path.exists())?;
        self.held = true;
        Ok(())
    }

    /// Notes that the bytes are under our name already.
    pub(super) fn taken(&mut self) {
        self.held = true;
    }

    /// Notes which file has the bytes.
    pub(super) fn opened(&mut self, inode: u64) {
        self.inode = Some(inode);
    }

    /// Gives the upload back.
    ///
    /// # Errors
    /// `NotFound` when the bytes are no longer there; after the others they are given back later.
    pub(super) fn give_back(mut self) -> Result<(), StorageError> {
        let result = atomic_file::rename(&self.path, &self.data, || self.is_back());
        self.held = matches!(&result, Err(error) if !error.is_not_found());
        result
    }

    /// Whether the file under the common name is ours: who took the upload over may have given back another.
    fn is_back(&self) -> bool {
        let Some((directory, inode)) = self.data.parent().zip(self.inode) else { return false };
        // An upload that is gone is nobody's.
        let found = lookup::identity_in(directory, directory, DATA);
        found.is_ok_and(|found| found.is_some_and(|found| found.is_inode(inode)))
    }

    /// Notes that the bytes are a blob now.
    pub(super) fn end(mut self) {
        self.held = false;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.held {
            let (claimed, data) = (std::mem::take(&mut self.path), std::mem::take(&mut self.data));
            Leftover::Claim { claimed, data }.remember();
        }
    }
}
