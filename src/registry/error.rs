//! What a registry answers when it cannot do what was asked.

use std::time::Duration;

use crate::{
    oci::{Digest, ManifestError, Reference, RepositoryName, UploadId},
    storage::StorageError,
};

/// What went wrong while a request's body was received: the client's connection, not our disk.
#[derive(Debug, thiserror::Error)]
#[error("the request body could not be received")]
pub struct BodyError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// An operation that failed, in the words of the specification where it has them.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The repository does not have the blob.
    #[error("blob {0} is not in the repository")]
    BlobUnknown(Digest),
    /// There is no such upload, or it has ended.
    #[error("upload {0} is not known")]
    UploadUnknown(UploadId),
    /// Another request writes to the upload.
    #[error("another request writes to upload {0}")]
    UploadInUse(UploadId),
    /// A chunk does not begin where the upload ends.
    #[error("the upload continues at byte {offset}")]
    RangeMismatch {
        /// Bytes received so far.
        offset: u64,
    },
    /// A body is not as long as its range says.
    #[error("the body has {received} bytes, its range {expected}")]
    SizeMismatch {
        /// Length of the range.
        expected: u64,
        /// Length of the body, as far as it was read.
        received: u64,
    },
    /// Content is not what its digest says.
    #[error("the content has digest {computed}, not {expected}")]
    DigestMismatch {
        /// What the client named.
        expected: Digest,
        /// What the bytes have.
        computed: Digest,
    },
    /// There is no such repository.
    #[error("repository {0} is not known")]
    NameUnknown(RepositoryName),
    /// The repository has no such manifest or tag.
    #[error("manifest {0} is not in the repository")]
    ManifestUnknown(Reference),
    /// The bytes are not a manifest we store.
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// A manifest is larger than the limit.
    #[error("a manifest has at most {limit} bytes")]
    ManifestTooLarge {
        /// In bytes.
        limit: usize,
    },
    /// A manifest names blobs or manifests that the repository does not have.
    #[error("the manifest names content that is not in the repository")]
    ManifestBlobUnknown(Vec<Digest>),
    /// The operator has switched deletion off.
    #[error("deletion is switched off")]
    DeleteDisabled,
    /// The body of the request did not arrive.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The volume is full.
    #[error("the volume is full")]
    OutOfSpace(#[source] StorageError),
    /// The volume cannot be written.
    #[error("the volume cannot be written")]
    ReadOnly(#[source] StorageError),
    /// The volume does not answer, or too much is waiting for it. It may pass.
    #[error("the volume did not answer within {0:?}")]
    Unavailable(Duration),
    /// Any other failure of the volume.
    #[error("the volume failed")]
    Storage(#[source] StorageError),
    /// A task of ours died. The panic itself is in the log.
    #[error("an internal task failed")]
    Internal,
}

impl From<StorageError> for RegistryError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::OutOfSpace { .. } => Self::OutOfSpace(error),
            StorageError::ReadOnly { .. } => Self::ReadOnly(error),
            StorageError::DigestMismatch { expected, computed } => {
                Self::DigestMismatch { expected, computed }
            }
            StorageError::NotFound
            | StorageError::UploadInUse
            | StorageError::Damaged(_)
            | StorageError::Io { .. } => Self::Storage(error),
        }
    }
}
