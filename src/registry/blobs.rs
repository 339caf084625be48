//! Blobs: is it there, its bytes, take it out.

use super::{BlobReader, Registry, RegistryError, blocking::Work};
use crate::{
    oci::{Digest, RepositoryName},
    storage::{Storage, StoredBlob},
};

impl Registry {
    /// Size of a blob in bytes, asked of the volume each time: another server may have taken it out.
    pub async fn blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, RegistryError> {
        let (name, wanted) = (repository.clone(), digest.clone());
        let found = self.storage(Work::Lookup, move |storage| storage.find_blob(&name, &wanted)).await?;
        let blob = found.ok_or_else(|| RegistryError::BlobUnknown(digest.clone()))?;
        if !self.inner.integrity.is_doubtful(&blob.stored_as, &blob.identity) {
            return Ok(blob.identity.size);
        }
        // Reading it may take long.
        let integrity = self.inner.integrity.clone();
        let confirm = move |storage: &Storage| integrity.confirm_size(storage, Some(blob));
        let confirmed = self.storage(Work::Write, confirm).await?;
        confirmed.map(|blob| blob.identity.size).ok_or_else(|| RegistryError::BlobUnknown(digest.clone()))
    }

    /// Opens a blob for reading. One whose size is wrong, or a small one whose content is, is not there.
    pub async fn open_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<BlobReader, RegistryError> {
        let (name, wanted) = (repository.clone(), digest.clone());
        let integrity = self.inner.integrity.clone();
        let open = move |storage: &Storage| match storage.open_blob(&name, &wanted)? {
            Some(file) => integrity.verified_open(storage, &wanted, file),
            None => Ok(None),
        };
        let file = self.storage(Work::Lookup, open).await?;
        let file = file.ok_or_else(|| RegistryError::BlobUnknown(digest.clone()))?;
        Ok(BlobReader::new(self.clone(), digest.clone(), file))
    }

    /// Takes a blob out of a repository. Other repositories keep it. `late` is told when it is gone after the deadline.
    pub async fn delete_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        late: impl FnOnce() + Send + 'static,
    ) -> Result<(), RegistryError> {
        self.require_delete()?;
        let (name, wanted) = (repository.clone(), digest.clone());
        let unlink = move |storage: &Storage| storage.unlink_blob(&name, &wanted);
        let late = |is_removed| {
            if is_removed {
                late();
            }
        };
        let removed = self.change_result(unlink, late).await??;
        if removed { Ok(()) } else { Err(RegistryError::BlobUnknown(digest.clone())) }
    }

    /// Puts a blob of another repository into this one without its bytes being sent. `Ok(false)` when that
    /// cannot be done, and the client shall send them.
    ///
    /// The caller has checked that the user may read `from`. Without `from`, any stored blob is taken (automatic
    /// content discovery of the specification): right as long as whoever may push may read every repository. `late` is
    /// told when it is done after the deadline.
    pub async fn mount_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
        late: impl FnOnce() + Send + 'static,
    ) -> Result<bool, RegistryError> {
        let (name, wanted, from) = (repository.clone(), digest.clone(), from.cloned());
        let integrity = self.inner.integrity.clone();
        let mount = move |storage: &Storage| {
            if let Some(from) = &from
                && storage.find_blob(from, &wanted)?.is_none()
            {
                return Ok(false);
            }
            // The link of an sha512 alias leads elsewhere than its name; only content under its own is mounted.
            let stored = storage.find_stored(&wanted)?;
            let blob = stored.map(|identity| StoredBlob { stored_as: wanted.clone(), identity, link: None });
            let Some(blob) = integrity.confirm_size(storage, blob)? else { return Ok(false) };
            storage.settle_content(&wanted, &blob.identity)?;
            storage.link_blob(&name, &wanted)?;
            Ok(storage.blob_size(&name, &wanted)?.is_some())
        };
        let late = |is_mounted| {
            if is_mounted {
                late();
            }
        };
        // A change also for its deadline: the blob may have to be read.
        Ok(self.change_result(mount, late).await??)
    }
}
