//! Referrers: one link file for each manifest that names another as its subject, so that two servers never
//! write the same file.

use super::{Storage, error::StorageError};
use crate::oci::{Algorithm, Digest, RepositoryName};

impl Storage {
    /// Records that `referrer` names `subject`, durably. The subject need not exist.
    pub fn link_referrer(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<(), StorageError> {
        let directory = self.layout.referrer_link(repository, subject, referrer);
        let permanent = directory.parent().unwrap_or(&directory);
        self.write_link(&directory, referrer, permanent).map(drop)
    }

    /// Forgets that `referrer` names `subject`.
    pub fn unlink_referrer(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<(), StorageError> {
        self.remove_link(&self.layout.referrer_link(repository, subject, referrer)).map(drop)
    }

    /// The manifests recorded as naming `subject`, sorted.
    pub fn list_referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Digest>, StorageError> {
        let parent = self.layout.referrers(repository, subject, Algorithm::Sha256);
        let mut digests =
            parent.parent().map_or_else(|| Ok(Vec::new()), |parent| self.list_digests(parent))?;
        digests.sort_unstable();
        Ok(digests)
    }
}
