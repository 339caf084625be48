//! Manifests: content like a blob's, and the link that makes it exist in a repository.

use std::{io::Read, path::Path};

use super::{
    Storage, atomic_file,
    directory_names::Names,
    error::{IoContext, StorageError},
    file_identity::FileIdentity,
    layout::DATA,
    links::report_wrong_link,
    lookup,
};
use crate::oci::{Algorithm, Digest, RepositoryName};

impl Storage {
    /// Whether a repository has a manifest. A link that names another is damaged, and counts as absent.
    pub fn has_manifest(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        Ok(self.find_manifest_link(repository, digest)?.is_some())
    }

    /// The file that puts a manifest into a repository.
    fn find_manifest_link(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<FileIdentity>, StorageError> {
        let directory = self.layout.revision_link(repository, digest);
        let Some(link) = self.read_link(&directory)? else { return Ok(None) };
        if link.digest != *digest {
            report_wrong_link(&directory, &link.digest);
            return Ok(None);
        }
        Ok(Some(link.identity))
    }

    /// The bytes of stored content of at most `limit` bytes, checked against its digest; `None` when it is not
    /// there.
    ///
    /// # Errors
    /// `Damaged` when the bytes are not those of the digest, or more than `limit`.
    pub fn read_content(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(blob) = self.open_stored(digest)? else { return Ok(None) };
        let path = self.layout.blob_directory(digest).join(DATA);
        let size = blob.identity.size;
        if size > limit {
            return Err(StorageError::Damaged(digest.clone()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        (&*blob.file).take(limit + 1).read_to_end(&mut bytes).context("read", &path)?;
        if Digest::of(digest.algorithm(), &bytes) == *digest {
            Ok(Some(bytes))
        } else {
            Err(StorageError::Damaged(digest.clone()))
        }
    }

    /// Stores the bytes of a manifest under its digest, durably. Damaged content found there is replaced.
    pub fn write_content(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StorageError> {
        let directory = self.layout.blob_directory(digest);
        let put = atomic_file::put(self.layout.v2(), &directory, DATA, bytes)?;
        let shard = directory.parent().unwrap_or(&directory);
        self.settle_put(&directory.join(DATA), &put, shard)
    }

    /// Makes a manifest exist in a repository, durably. The caller has stored its content. `Ok(false)` when it did
    /// already.
    pub fn link_manifest(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        self.ensure_repository(repository)?;
        let directory = self.layout.revision_link(repository, digest);
        let permanent = directory.parent().unwrap_or(&directory);
        self.write_link(&directory, digest, permanent)
    }

    /// Makes durable that a repository has a manifest, when another server may have put it there and not be done.
    /// `Ok(false)` when it does not have it.
    pub fn settle_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let Some(link) = self.find_manifest_link(repository, digest)? else { return Ok(false) };
        if let Some(file) = self.find_stored(digest)? {
            self.settle_content(digest, &file)?;
        }
        self.settle_link(&self.layout.revision_link(repository, digest), &link)?;
        Ok(true)
    }

    /// Takes a manifest out of a repository. `Ok(false)` when it was not in it.
    pub fn unlink_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        self.remove_link(&self.layout.revision_link(repository, digest))
    }

    /// The manifests of a repository, in no order.
    pub fn list_manifests(&self, repository: &RepositoryName) -> Result<Vec<Digest>, StorageError> {
        self.list_digests(&self.layout.revisions(repository))
    }

    /// The names below which a repository has its manifests, by algorithm, to be compared with those of a moment ago.
    pub fn manifest_names(
        &self,
        repository: &RepositoryName,
    ) -> Result<Vec<(Algorithm, Names)>, StorageError> {
        let mut found = Vec::new();
        for algorithm in Algorithm::ALL {
            let directory = self.layout.revisions(repository).join(algorithm.as_str());
            found.extend(
                self.names.list(self.layout.v2(), &directory)?.map(|names| (algorithm, Names(names))),
            );
        }
        Ok(found)
    }

    /// The digests that name directories below `<parent>/<algorithm>`.
    pub(super) fn list_digests(&self, parent: &Path) -> Result<Vec<Digest>, StorageError> {
        let mut digests = Vec::new();
        for algorithm in Algorithm::ALL {
            let names = lookup::names(self.layout.v2(), &parent.join(algorithm.as_str()))?;
            let found = names.unwrap_or_default();
            digests.extend(found.iter().filter_map(|name| Digest::from_parts(algorithm, name).ok()));
        }
        Ok(digests)
    }
}
