//! What can go wrong with bytes and names on disk.

use std::{io, path::PathBuf};

use crate::oci::Digest;

/// An error of the volume. Paths and causes are for the log, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no such blob, link, tag or upload: confirmed with freshly opened directories.
    #[error("not found")]
    NotFound,
    /// Another request, of this server or another, writes to the upload.
    #[error("the upload is in use")]
    UploadInUse,
    /// The bytes are not what the client said they are.
    #[error("the content has digest {computed}, not {expected}")]
    DigestMismatch {
        /// What the client named.
        expected: Digest,
        /// What the bytes have.
        computed: Digest,
    },
    /// A stored manifest is not what its digest says.
    #[error("the stored content of {0} is damaged")]
    Damaged(Digest),
    /// No space, no inodes, or over quota.
    #[error("the volume is full: {operation} {path}")]
    OutOfSpace {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The volume, or this part of it, cannot be written.
    #[error("the volume cannot be written: {operation} {path}")]
    ReadOnly {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Any other failure of the file system; it may pass.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StorageError {
    /// Whether it says that something is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound)
    }

    /// Whether a directory may have been removed under who worked in it. What a name below one that is gone answers on
    /// NFS is `ESTALE`, elsewhere "not found".
    pub(super) fn is_of_a_removed_directory(&self) -> bool {
        match self {
            Self::NotFound => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StaleNetworkFileHandle,
            _ => false,
        }
    }
}

/// Names the operation and the path on an I/O error.
pub(super) trait IoContext<T> {
    fn context(self, operation: &'static str, path: &std::path::Path) -> Result<T, StorageError>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn context(self, operation: &'static str, path: &std::path::Path) -> Result<T, StorageError> {
        self.map_err(|error| {
            let source: io::Error = error.into();
            let path = path.to_path_buf();
            match source.kind() {
                io::ErrorKind::NotFound => StorageError::NotFound,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    StorageError::OutOfSpace { operation, path }
                }
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                    StorageError::ReadOnly { operation, path, source }
                }
                _ => StorageError::Io { operation, path, source },
            }
        })
    }
}
