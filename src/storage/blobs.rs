//! Blobs: bytes by digest, and the links that put them into repositories.

use std::{fs::File, path::Path, sync::Arc};

use super::{
    Storage, atomic_file,
    error::{IoContext, StorageError},
    file_identity::FileIdentity,
    layout::DATA,
    links::report_wrong_link,
};
use crate::oci::{Algorithm, Digest, RepositoryName};

/// Largest content, in bytes, that is read again to see whether a push of it can keep it. Reading more would keep
/// the client waiting: larger content is replaced by what was just hashed.
const REREAD_LIMIT: u64 = 256 << 20;

/// A blob that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// The digest it is stored under: the one asked for, except for the sha512 aliases that registry:2 makes.
    pub stored_as: Digest,
    /// Which file it is, with its size.
    pub identity: FileIdentity,
}

/// An open blob.
#[derive(Clone, Debug)]
pub struct BlobFile {
    /// The bytes.
    pub file: Arc<File>,
    /// The digest it is stored under.
    pub stored_as: Digest,
    /// Which file it is, with its size.
    pub identity: FileIdentity,
}

/// A pushed file that is about to be published.
pub(super) struct Pushed<'a> {
    /// In bytes.
    pub(super) size: u64,
    /// Its inode.
    pub(super) inode: u64,
    /// Whether a file that is there already was found to have the right bytes by this process.
    pub(super) is_known_good: &'a dyn Fn(&FileIdentity) -> bool,
}

/// What a push did with its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    /// The file that has them now: the pushed one, or one that was found to be as good.
    pub(super) inode: u64,
}

impl Storage {
    /// Size of a blob of a repository, in bytes; `None` when the repository does not have it.
    pub fn blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, StorageError> {
        Ok(self.find_blob(repository, digest)?.map(|blob| blob.identity.size))
    }

    /// Which file a blob of a repository is; `None` when the repository does not have it.
    pub fn find_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<StoredBlob>, StorageError> {
        let Some(stored_as) = self.blob_target(repository, digest)? else { return Ok(None) };
        Ok(self.find_stored(&stored_as)?.map(|identity| StoredBlob { stored_as, identity }))
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
        Ok(self.find_stored(digest)?.map(|identity| identity.size))
    }

    /// Which file stored content is, whatever repository it is in.
    pub fn find_stored(&self, digest: &Digest) -> Result<Option<FileIdentity>, StorageError> {
        atomic_file::identity_in(self.layout.v2(), &self.layout.blob_directory(digest), DATA)
    }

    /// Opens stored content, whatever repository it is in.
    pub fn open_stored(&self, digest: &Digest) -> Result<Option<BlobFile>, StorageError> {
        let path = self.layout.blob_directory(digest).join(DATA);
        let Some(file) = atomic_file::open(self.layout.v2(), &path)? else { return Ok(None) };
        let metadata = file.metadata().context("look up", &path)?;
        let identity = FileIdentity::from(&metadata);
        let stored_as = digest.clone();
        Ok(metadata.is_file().then(|| BlobFile { file: Arc::new(file), stored_as, identity }))
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

    /// The digest a blob is stored under: its own, except for the sha512 aliases that registry:2 makes. A link
    /// that leads anywhere else is damaged, and counts as absent.
    fn blob_target(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Digest>, StorageError> {
        let directory = self.layout.layer_link(repository, digest);
        let Some(target) = self.read_link(&directory)? else { return Ok(None) };
        let is_alias = digest.algorithm() == Algorithm::Sha512 && target.algorithm() == Algorithm::Sha256;
        if target == *digest || is_alias {
            return Ok(Some(target));
        }
        report_wrong_link(&directory, &target);
        Ok(None)
    }

    /// Moves a complete, flushed and verified file to where its content belongs, durably.
    ///
    /// Content that is stored already stays, so that its readers do, if it is good: `is_known_good` says so, or
    /// reading it. What is damaged, or too large to be read while a client waits, is replaced: a push heals.
    pub(super) fn publish(
        &self,
        from: &Path,
        pushed: &Pushed<'_>,
        digest: &Digest,
    ) -> Result<Published, StorageError> {
        let directory = self.layout.blob_directory(digest);
        let destination = directory.join(DATA);
        for _ in 0..2 {
            if let Some(found) = self.find_stored(digest)?.filter(|found| self.keeps(found, pushed, digest)) {
                self.settle_content(digest)?;
                atomic_file::remove_leftover(from);
                return Ok(Published { inode: found.inode() });
            }
            atomic_file::make_directories(self.layout.v2(), &directory)?;
            let arrived = || {
                let found = self.find_stored(digest).ok().flatten();
                !from.exists() && found.is_some_and(|found| found.is_inode(pushed.inode))
            };
            match atomic_file::rename(from, &destination, arrived) {
                // Another server's clean-up may take an empty directory away.
                Err(StorageError::NotFound) if from.exists() => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.settle_content(digest)?;
                    return Ok(Published { inode: pushed.inode });
                }
            }
        }
        Err(StorageError::NotFound)
    }

    fn keeps(&self, found: &FileIdentity, pushed: &Pushed<'_>, digest: &Digest) -> bool {
        found.size == pushed.size
            && ((pushed.is_known_good)(found) || found.size <= REREAD_LIMIT && self.is_good(digest))
    }

    /// Makes durable that content is stored, when another server may have stored it and not be done.
    pub fn settle_content(&self, digest: &Digest) -> Result<(), StorageError> {
        let directory = self.layout.blob_directory(digest);
        self.settle(&directory, directory.parent().unwrap_or(&directory))
    }

    /// Makes durable that a repository has a blob, when another server may have put it there and not be done.
    /// `Ok(false)` when it does not have it.
    pub fn settle_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        let Some(target) = self.blob_target(repository, digest)? else { return Ok(false) };
        self.settle_content(&target)?;
        let link = self.layout.layer_link(repository, digest);
        self.settle(&link, link.parent().unwrap_or(&link))?;
        Ok(true)
    }

    /// The last look before an acknowledgement: what the link names must be stored. Which file it is; `None` when
    /// another request has removed the link since, which is no failure of this one: it was there.
    pub(super) fn confirm_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<FileIdentity>, StorageError> {
        let Some(target) = self.blob_target(repository, digest)? else { return Ok(None) };
        self.find_stored(&target)?.map(Some).ok_or(StorageError::NotFound)
    }
}
