//! The end of an upload: its bytes become a blob.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{ClaimedUpload, claim::Claim};
use crate::{
    oci::{Digest, DigestHasher, RepositoryName},
    storage::{
        FileIdentity, Storage, StorageError,
        blobs::{Published, Pushed},
        error::IoContext,
        layout::DATA,
        lookup,
    },
};

/// Size of the reads when content must be hashed again, in bytes.
const REHASH_BLOCK: usize = 1 << 20;

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadCommit {
    /// The blob's file, unless another push replaced it meanwhile: its bytes have the digest.
    pub proven: Option<FileIdentity>,
}

impl ClaimedUpload {
    /// Makes the content ready to be published: right and durable. Returns its size.
    fn prepare(&mut self, digest: &Digest) -> Result<u64, StorageError> {
        let computed = self.digest(digest)?;
        if computed != *digest {
            return Err(StorageError::DigestMismatch { expected: digest.clone(), computed });
        }
        self.flush()?;
        let length = self.file.metadata().context("look up", self.claim.path())?.len();
        if length == self.offset {
            Ok(length)
        } else {
            Err(io::Error::other("the upload does not have the length of what was hashed"))
                .context("commit", self.claim.path())
        }
    }

    /// The digest of the whole content; reads it again when it was hashed with another algorithm.
    fn digest(&self, wanted: &Digest) -> Result<Digest, StorageError> {
        if self.hasher.algorithm() == wanted.algorithm() {
            return Ok(self.hasher.clone().finish());
        }
        let mut hasher = DigestHasher::new(wanted.algorithm());
        let mut reader = File::open(self.claim.path()).context("open", self.claim.path())?.take(self.offset);
        let mut block = vec![0; REHASH_BLOCK];
        loop {
            match reader.read(&mut block).context("read", self.claim.path())? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&block[..count]),
            }
        }
    }
}

impl Storage {
    /// Makes the content of an upload a blob of the repository, durably, and removes the upload. `is_known_good`
    /// says of a file that is stored there already whether this process found it to be right.
    ///
    /// # Errors
    /// `DigestMismatch` when the content is not what `digest` says; the upload is removed then too. `UploadInUse` when
    /// another request thought this one dead and has taken the upload over.
    pub fn commit_upload(
        &self,
        repository: &RepositoryName,
        mut upload: ClaimedUpload,
        digest: &Digest,
        is_known_good: &dyn Fn(&FileIdentity) -> bool,
    ) -> Result<UploadCommit, StorageError> {
        let prepared = upload.prepare(digest);
        if prepared.is_err() {
            upload.cut_to_a_byte();
        }
        let ClaimedUpload { directory, claim, file, state, record, .. } = upload;
        // An open file cannot be removed on NFS without leaving a `.nfs` file behind.
        drop((file, state));
        let pushed = |size| Pushed { size, inode: record.inode, is_known_good };
        let published = prepared.and_then(|size| self.publish(claim.path(), &pushed(size), digest));
        let published = match published {
            Ok(published) => published,
            Err(error) => return Err(self.not_published(&directory, claim, error)),
        };
        claim.end();
        let linked = self.link_blob(repository, digest).and_then(|()| self.confirm_blob(repository, digest));
        // The bytes are the blob's now: whatever became of the link, this upload cannot go on.
        Self::remove_upload(directory);
        match linked {
            Ok(found) => Ok(UploadCommit { proven: self.proven(digest, found, &published) }),
            // The upload was there: what is not found now is a part of the volume.
            Err(StorageError::NotFound) => {
                Err(io::Error::other("the directories of the repository are not there"))
                    .context("link", self.layout.v2())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the upload back after an error, unless that ended it, and says what to answer.
    fn not_published(&self, directory: &Path, claim: Claim, error: StorageError) -> StorageError {
        if matches!(error, StorageError::DigestMismatch { .. }) {
            claim.end();
            Self::remove_upload(directory.to_path_buf());
            return error;
        }
        // The client may try again: what it had acknowledged is there still, unless the error came after the bytes
        // had become the blob, or the upload was taken over.
        let path = claim.path().to_path_buf();
        match claim.give_back() {
            Err(gone) if gone.is_not_found() && self.has_no_bytes(directory) => {
                Self::remove_upload(directory.to_path_buf());
                error
            }
            Err(gone) if gone.is_not_found() => self.why_gone(directory, error),
            _ if error.is_not_found() => {
                let source = io::Error::other("the directory of the blob is not there");
                StorageError::Io { operation: "publish", path, source }
            }
            _ => error,
        }
    }

    /// The blob's file, when it is the one whose bytes this request has hashed.
    fn proven(
        &self,
        digest: &Digest,
        found: Option<FileIdentity>,
        published: &Published,
    ) -> Option<FileIdentity> {
        let proven = found.filter(|found| found.is_inode(published.inode))?;
        // Its name was flushed when it was published.
        self.note_settled(&self.layout.blob_directory(digest).join(DATA), proven);
        Some(proven)
    }

    /// Whether the bytes of an upload are in no file of its directory: then they have become the blob, and no server
    /// is taking the upload over.
    pub(super) fn has_no_bytes(&self, directory: &Path) -> bool {
        let names = lookup::names(self.layout.v2(), directory);
        names.is_ok_and(|names| {
            names.unwrap_or_default().iter().all(|name| !name.trim_start_matches('.').starts_with(DATA))
        })
    }
}
