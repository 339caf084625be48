//! Blobs: bytes by digest, and the links that put them into repositories.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Storage, atomic_file, directories,
    error::{IoContext, StorageError},
    file_identity::FileIdentity,
    layout::DATA,
    links::{Link, report_wrong_link},
    lookup,
};
use crate::oci::{Algorithm, Digest, RepositoryName};

/// A blob that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// The digest it is stored under: the one asked for, except for the sha512 aliases that registry:2 makes.
    pub stored_as: Digest,
    /// Which file it is, with its size.
    pub identity: FileIdentity,
    /// The link that puts it into the repository, when it was found through one.
    pub link: Option<FileIdentity>,
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
        let Some(Link { digest: stored_as, identity: link }) = self.blob_link(repository, digest)? else {
            return Ok(None);
        };
        let found = self.find_stored(&stored_as)?;
        Ok(found.map(|identity| StoredBlob { stored_as, identity, link: Some(link) }))
    }

    /// Opens a blob of a repository; `None` when the repository does not have it.
    pub fn open_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobFile>, StorageError> {
        match self.blob_link(repository, digest)? {
            Some(link) => self.open_stored(&link.digest),
            None => Ok(None),
        }
    }

    /// Size of stored content, whatever repository it is in.
    pub fn stored_size(&self, digest: &Digest) -> Result<Option<u64>, StorageError> {
        Ok(self.find_stored(digest)?.map(|identity| identity.size))
    }

    /// Which file stored content is, whatever repository it is in.
    pub fn find_stored(&self, digest: &Digest) -> Result<Option<FileIdentity>, StorageError> {
        lookup::identity_in(self.layout.v2(), &self.layout.blob_directory(digest), DATA)
    }

    /// Opens stored content, whatever repository it is in.
    pub fn open_stored(&self, digest: &Digest) -> Result<Option<BlobFile>, StorageError> {
        self.content_reads.fetch_add(1, Ordering::Relaxed);
        let path = self.layout.blob_directory(digest).join(DATA);
        let Some(file) = lookup::open(self.layout.v2(), &path)? else { return Ok(None) };
        let metadata = file.metadata().context("look up", &path)?;
        let identity = FileIdentity::from(&metadata);
        let stored_as = digest.clone();
        Ok(metadata.is_file().then(|| BlobFile { file: Arc::new(file), stored_as, identity }))
    }

    /// How often content, a manifest or a blob, was opened for reading since the start.
    pub fn content_reads(&self) -> u64 {
        self.content_reads.load(Ordering::Relaxed)
    }

    /// Puts stored content into a repository. The caller has checked that it is stored.
    pub fn link_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StorageError> {
        self.ensure_repository(repository)?;
        let directory = self.layout.layer_link(repository, digest);
        let permanent = directory.parent().unwrap_or(&directory);
        self.write_link(&directory, digest, permanent).map(drop)
    }

    /// Takes a blob out of a repository. `Ok(false)` when it was not in it. The bytes stay: other repositories
    /// may have them.
    pub fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        self.remove_link(&self.layout.layer_link(repository, digest))
    }

    /// The link of a blob to the digest it is stored under: its own, except for the sha512 aliases that registry:2
    /// makes. A link that leads anywhere else is damaged, and counts as absent.
    fn blob_link(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Link>, StorageError> {
        let directory = self.layout.layer_link(repository, digest);
        let Some(link) = self.read_link(&directory)? else { return Ok(None) };
        let target = &link.digest;
        let is_alias = digest.algorithm() == Algorithm::Sha512 && target.algorithm() == Algorithm::Sha256;
        if *target == *digest || is_alias {
            return Ok(Some(link));
        }
        report_wrong_link(&directory, target);
        Ok(None)
    }

    /// Moves a complete, flushed and verified file to where its content belongs, durably.
    ///
    /// Content that is stored already stays, so that its readers do, if it is good: `is_known_good` says so, or
    /// reading it. Only what is damaged is replaced: a push heals. Nothing else is, however long the reading takes: an
    /// NFS client that replaces a file that it has open leaves no file of that name for a moment, and a power cut then
    /// loses it.
    pub(super) fn publish(
        &self,
        from: &Path,
        pushed: &Pushed<'_>,
        digest: &Digest,
    ) -> Result<Published, StorageError> {
        let directory = self.layout.blob_directory(digest);
        let destination = directory.join(DATA);
        for _ in 0..2 {
            // In a directory that was not there is nothing to keep.
            let found = match directories::make(self.layout.v2(), &directory)? {
                true => None,
                false => self.find_stored(digest)?,
            };
            if let Some(found) = found.filter(|found| self.keeps(found, pushed, digest)) {
                self.settle_content(digest, &found)?;
                atomic_file::remove_leftover(from);
                return Ok(Published { inode: found.inode() });
            }
            let arrived = || {
                let found = self.find_stored(digest).ok().flatten();
                !from.exists() && found.is_some_and(|found| found.is_inode(pushed.inode))
            };
            match atomic_file::rename(from, &destination, arrived) {
                // Another server's clean-up may take an empty directory away.
                Err(StorageError::NotFound) if from.exists() => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.settle(&directory, directory.parent().unwrap_or(&directory))?;
                    return Ok(Published { inode: pushed.inode });
                }
            }
        }
        Err(StorageError::NotFound)
    }

    fn keeps(&self, found: &FileIdentity, pushed: &Pushed<'_>, digest: &Digest) -> bool {
        found.size == pushed.size && ((pushed.is_known_good)(found) || self.is_good(digest))
    }

    /// Makes durable that content is stored, when another server may have stored it and not be done. `file` is what
    /// was found of it.
    pub fn settle_content(&self, digest: &Digest, file: &FileIdentity) -> Result<(), StorageError> {
        let directory = self.layout.blob_directory(digest);
        self.settle_file(&directory.join(DATA), file, directory.parent().unwrap_or(&directory))
    }

    /// Makes durable that a repository has a blob, which was found in it, when another server may have put it there
    /// and not be done.
    pub fn settle_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        found: &StoredBlob,
    ) -> Result<(), StorageError> {
        self.settle_content(&found.stored_as, &found.identity)?;
        match &found.link {
            Some(link) => self.settle_link(&self.layout.layer_link(repository, digest), link),
            None => Ok(()),
        }
    }

    /// The last look before an acknowledgement: what the link names must be stored. Which file it is; `None` when
    /// another request has removed the link since, which is no failure of this one: it was there.
    pub(super) fn confirm_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<FileIdentity>, StorageError> {
        let Some(link) = self.blob_link(repository, digest)? else { return Ok(None) };
        self.find_stored(&link.digest)?.map(Some).ok_or(StorageError::NotFound)
    }
}
