//! Link files: the name of a digest, in a file.

use std::path::Path;

use super::{
    Storage, atomic_file, error::StorageError, file_identity::FileIdentity, layout::LINK, lookup, removal,
};
use crate::oci::Digest;

/// What a link file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) digest: Digest,
    /// Which file it is.
    pub(super) identity: FileIdentity,
}

impl Storage {
    /// What `directory/link` names; `None` when it is not there or damaged.
    ///
    /// Zero-byte links are the known damage of registry:2 after a crash. They read as absent, so that the next
    /// push heals them, and are logged.
    pub(super) fn read_link(&self, directory: &Path) -> Result<Option<Link>, StorageError> {
        let path = directory.join(LINK);
        let Some(file) = lookup::read_small(self.layout.v2(), &path)? else { return Ok(None) };
        let digest = std::str::from_utf8(&file.bytes).ok().and_then(|text| text.trim().parse().ok());
        if digest.is_none() {
            let bytes = file.bytes.len();
            tracing::warn!(path = %path.display(), bytes, "a link is damaged; it counts as absent");
        }
        Ok(digest.map(|digest| Link { digest, identity: file.identity }))
    }

    /// Makes `directory/link` name `digest`, durably. From `permanent` upwards directories are never removed.
    /// `Ok(false)` when it did so already.
    pub(super) fn write_link(
        &self,
        directory: &Path,
        digest: &Digest,
        permanent: &Path,
    ) -> Result<bool, StorageError> {
        let put = atomic_file::put(self.layout.v2(), directory, LINK, digest.as_str().as_bytes())?;
        self.settle_put(&directory.join(LINK), &put, permanent)?;
        Ok(!put.was_there())
    }

    /// Makes a link durable that is there, when another server may have written it and not be done.
    pub(super) fn settle_link(&self, directory: &Path, link: &FileIdentity) -> Result<(), StorageError> {
        self.settle_file(&directory.join(LINK), link, directory.parent().unwrap_or(directory))
    }

    /// Removes `directory/link`, durably, then the directory. `Ok(false)` when there was none.
    pub(super) fn remove_link(&self, directory: &Path) -> Result<bool, StorageError> {
        let removed = atomic_file::remove(self.layout.v2(), &directory.join(LINK))?;
        if removed {
            self.settle_removal(directory)?;
            removal::remove_directory_if_empty(directory);
        }
        Ok(removed)
    }
}

/// Logs a link that is whole but cannot be right where it stands.
pub(super) fn report_wrong_link(directory: &Path, target: &Digest) {
    let path = directory.join(LINK);
    tracing::warn!(path = %path.display(), %target, "a link names other content than it should; it counts as absent");
}
