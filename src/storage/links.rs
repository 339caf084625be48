//! Link files: the name of a digest, in a file.

use std::path::Path;

use super::{Storage, atomic_file, error::StorageError, layout::LINK};
use crate::oci::Digest;

impl Storage {
    /// What `directory/link` names; `None` when it is not there or damaged.
    ///
    /// Zero-byte links are the known damage of registry:2 after a crash. They read as absent, so that the next
    /// push heals them, and are logged.
    pub(super) fn read_link(&self, directory: &Path) -> Result<Option<Digest>, StorageError> {
        let path = directory.join(LINK);
        let Some(bytes) = atomic_file::read_small(self.layout.v2(), &path)? else { return Ok(None) };
        let digest = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
        if digest.is_none() {
            tracing::warn!(path = %path.display(), bytes = bytes.len(), "a link is damaged; it counts as absent");
        }
        Ok(digest)
    }

    /// Makes `directory/link` name `digest`, durably. The directory above is one that is never removed.
    pub(super) fn write_link(&self, directory: &Path, digest: &Digest) -> Result<(), StorageError> {
        self.write_link_unsettled(directory, digest)?;
        self.settle(directory, directory.parent().unwrap_or(directory))
    }

    /// Makes `directory/link` name `digest`: whole when it survives a power cut, which it need not.
    pub(super) fn write_link_unsettled(&self, directory: &Path, digest: &Digest) -> Result<(), StorageError> {
        atomic_file::put(self.layout.v2(), directory, LINK, digest.as_str().as_bytes())
    }

    /// Removes `directory/link`, durably, then the directory. `Ok(false)` when there was none.
    pub(super) fn remove_link(&self, directory: &Path) -> Result<bool, StorageError> {
        let removed = atomic_file::remove(self.layout.v2(), &directory.join(LINK))?;
        if removed {
            atomic_file::sync_what_is_left(directory)?;
            atomic_file::remove_directory_if_empty(directory);
        }
        Ok(removed)
    }
}

/// Logs a link that is whole but cannot be right where it stands.
pub(super) fn report_wrong_link(directory: &Path, target: &Digest) {
    let path = directory.join(LINK);
    tracing::warn!(path = %path.display(), %target, "a link names other content than it should; it counts as absent");
}
