//! Blobs: bytes by digest, and the links that put them into repositories.

use std::{fs::File, path::Path, sync::Arc};

use super::{
    Storage, atomic_file,
    error::{IoContext, StorageError},
    layout::DATA,
};
use crate::oci::{Digest, RepositoryName};

/// An open blob.
#[derive(Clone, Debug)]
pub struct BlobFile {
    /// The bytes.
    pub file: Arc<File>,
    /// How many there are.
    pub size: u64,
}

impl Storage {
    /// Size of a blob of a repository, in bytes; `None` when the repository does not have it.
    pub fn blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, StorageError> {
        match self.blob_target(repository, digest)? {
            Some(target) => self.stored_size(&target),
            None => Ok(None),
        }
    }

    /// Opens a blob of a repository; `None` when the repository does not have it.
    pub fn open_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobFile>, StorageError> {
        match self.blob_target(repository, digest)? {
            Some(target) => self.open_stored(&target),
            None => Ok(None),
        }
    }

    /// Size of stored content, whatever repository it is in.
    pub fn stored_size(&self, digest: &Digest) -> Result<Option<u64>, StorageError> {
        atomic_file::size_in(self.layout.v2(), &self.layout.blob_directory(digest), DATA)
    }

    /// Opens stored content, whatever repository it is in.
    pub(super) fn open_stored(&self, digest: &Digest) -> Result<Option<BlobFile>, StorageError> {
        let path = self.layout.blob_directory(digest).join(DATA);
        let Some(file) = atomic_file::open(self.layout.v2(), &path)? else { return Ok(None) };
        let metadata = file.metadata().context("look up", &path)?;
        Ok(metadata.is_file().then(|| BlobFile { file: Arc::new(file), size: metadata.len() }))
    }

    /// Puts stored content into a repository. The caller has checked that it is stored.
    pub fn link_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StorageError> {
        self.ensure_repository(repository)?;
        self.write_link(&self.layout.layer_link(repository, digest), digest)
    }

    /// Takes a blob out of a repository. `Ok(false)` when it was not in it. The bytes stay: other repositories
    /// may have them.
    pub fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        self.remove_link(&self.layout.layer_link(repository, digest))
    }

    /// The digest a blob is stored under: its own, except for the sha512 aliases that registry:2 makes.
    fn blob_target(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Digest>, StorageError> {
        self.read_link(&self.layout.layer_link(repository, digest))
    }

    /// Moves a complete, flushed and verified file to where its content belongs, durably.
    ///
    /// Content that is stored already stays, so that its readers do; content of another size is damaged, and is
    /// replaced: a push heals it.
    pub(super) fn publish(&self, from: &Path, size: u64, digest: &Digest) -> Result<(), StorageError> {
        let directory = self.layout.blob_directory(digest);
        let destination = directory.join(DATA);
        for _ in 0..2 {
            if self.stored_size(digest)? == Some(size) {
                atomic_file::sync_directory(&directory)?;
                if let Some(shard) = directory.parent() {
                    atomic_file::sync_directory(shard)?;
                }
                atomic_file::remove_leftover(from);
                return Ok(());
            }
            atomic_file::ensure_directory(self.layout.v2(), &directory)?;
            let arrived = || !from.exists() && self.stored_size(digest).ok().flatten() == Some(size);
            match atomic_file::rename(from, &destination, arrived) {
                // Another server's clean-up may take an empty directory away.
                Err(StorageError::NotFound) if from.exists() => {}
                Err(error) => return Err(error),
                Ok(()) => return atomic_file::sync_directory(&directory),
            }
        }
        Err(StorageError::NotFound)
    }

    /// Whether a blob can be read in a repository: the last look before an acknowledgement.
    pub(super) fn confirm_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        match self.blob_size(repository, digest)? {
            Some(_) => Ok(()),
            None => Err(StorageError::NotFound),
        }
    }
}
