//! Blobs: is it there, its bytes, take it out.

use super::{BlobReader, Registry, RegistryError, blocking::Work};
use crate::oci::{Digest, RepositoryName};

impl Registry {
    /// Size of a blob in bytes, asked of the volume each time: another server may have taken it out.
    pub async fn blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, RegistryError> {
        let (name, wanted) = (repository.clone(), digest.clone());
        let size = self.storage(Work::Lookup, move |storage| storage.blob_size(&name, &wanted)).await?;
        size.ok_or_else(|| RegistryError::BlobUnknown(digest.clone()))
    }

    /// Opens a blob for reading.
    pub async fn open_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<BlobReader, RegistryError> {
        let (name, wanted) = (repository.clone(), digest.clone());
        let file = self.storage(Work::Lookup, move |storage| storage.open_blob(&name, &wanted)).await?;
        let file = file.ok_or_else(|| RegistryError::BlobUnknown(digest.clone()))?;
        Ok(BlobReader::new(file, self.inner.blocking.clone(), self.inner.buffers.clone()))
    }

    /// Takes a blob out of a repository. Other repositories keep it.
    pub async fn delete_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        self.require_delete()?;
        let (name, wanted) = (repository.clone(), digest.clone());
        let removed = self.storage(Work::Lookup, move |storage| storage.unlink_blob(&name, &wanted)).await?;
        if removed { Ok(()) } else { Err(RegistryError::BlobUnknown(digest.clone())) }
    }

    /// Puts a blob of another repository into this one without its bytes being sent. `Ok(false)` when that
    /// cannot be done, and the client shall send them.
    ///
    /// The caller has checked that the user may read `from`. Without `from`, any stored blob is taken (automatic
    /// content discovery of the specification): right as long as whoever may push may read every repository.
    pub async fn mount_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<bool, RegistryError> {
        let (name, wanted, from) = (repository.clone(), digest.clone(), from.cloned());
        let mount = move |storage: &crate::storage::Storage| {
            let size = match &from {
                Some(from) => storage.blob_size(from, &wanted)?,
                None => storage.stored_size(&wanted)?,
            };
            // The link of an sha512 alias leads elsewhere than its name; only content under its own is mounted.
            if size.is_none() || storage.stored_size(&wanted)?.is_none() {
                return Ok(false);
            }
            storage.link_blob(&name, &wanted)?;
            Ok(storage.blob_size(&name, &wanted)?.is_some())
        };
        self.storage(Work::Lookup, mount).await
    }
}
