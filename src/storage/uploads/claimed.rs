//! An upload that this request alone may write.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::fs::{Timespec, Timestamps};

use super::{Record, claim::Claim, create_state};
use crate::{
    oci::{Algorithm, Digest, DigestHasher, RepositoryName, UploadId},
    storage::{
        FileIdentity, Storage, StorageError,
        blobs::Pushed,
        error::IoContext,
        layout::{DATA, STARTED_AT, STATE},
        leftovers::Leftover,
        lookup,
    },
};

/// Bytes written between two flushes: the last one is short then, so that a client that waits at most 30 s for the
/// answer to its last request has it, and a full volume shows early.
const FLUSH_EVERY: u64 = 64 << 20;

const OMIT: Timespec = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
/// The file server's clock, not ours.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };

/// Size of the reads when content must be hashed again, in bytes.
const REHASH_BLOCK: usize = 1 << 20;

/// An upload claimed for writing. Give it to [`Storage::release_upload`], [`Storage::abandon_upload`] or
/// [`Storage::commit_upload`]; one that is only dropped is given back by the next [`Storage::tidy_up`].
#[derive(Debug)]
pub struct ClaimedUpload {
    directory: PathBuf,
    claim: Claim,
    file: File,
    state: File,
    /// What was acknowledged before this request, with the inode of `file`.
    record: Record,
    hasher: DigestHasher,
    flushed: u64,
    offset: u64,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadCommit {
    /// The blob's file, unless another push replaced it meanwhile: its bytes have the digest.
    pub proven: Option<FileIdentity>,
}

impl ClaimedUpload {
    /// Where the next byte goes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Hashes and writes bytes at the offset. After an error the upload can only be abandoned.
    pub fn write(&mut self, buffers: &[Bytes]) -> Result<(), StorageError> {
        for buffer in buffers {
            self.hasher.update(buffer);
            self.file.write_all_at(buffer, self.offset).context("write", self.claim.path())?;
            self.offset += buffer.len() as u64;
        }
        if self.offset - self.flushed >= FLUSH_EVERY {
            self.flush()?;
        }
        Ok(())
    }

    /// Makes the bytes durable. After a failed flush the kernel forgets what it could not write: trying again
    /// proves nothing, so the upload is lost with it.
    fn flush(&mut self) -> Result<(), StorageError> {
        // An empty file is flushed too: its name is about to be given to a blob.
        if self.offset > self.flushed || self.offset == 0 {
            self.file.sync_all().context("flush", self.claim.path())?;
            self.flushed = self.offset;
        }
        Ok(())
    }

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
    /// Claims an upload for this request.
    ///
    /// # Errors
    /// `NotFound` when there is no such upload, `UploadInUse` when another request has it.
    pub fn claim_upload(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
    ) -> Result<ClaimedUpload, StorageError> {
        Self::tidy_up();
        let directory = self.layout.upload(repository, upload);
        // Another server may have given the upload back a moment ago. And what is renamed must be what is opened
        // under the new name then, not a file that this client remembers.
        lookup::look_again(&directory);
        let mut claim = Claim::new(&directory);
        match claim.take() {
            Err(StorageError::NotFound) => {
                self.require_upload(repository, upload)?;
                // Between the two looks it may have been given back.
                match claim.take() {
                    Err(StorageError::NotFound) => {
                        self.take_over(repository, upload, claim.path())?;
                        claim.taken();
                    }
                    result => result?,
                }
            }
            result => result?,
        }
        match self.open_claimed(repository, upload, claim.path()) {
            Ok((file, state, record)) => Ok(ClaimedUpload {
                directory,
                claim,
                file,
                state,
                hasher: record.hasher.clone(),
                // Bytes are acknowledged only once they are flushed.
                flushed: record.offset,
                offset: record.offset,
                record,
            }),
            Err(StorageError::NotFound) => {
                // A request that met a cancellation may have given the bytes of the ended upload back.
                let ended = self.require_upload(repository, upload).is_err_and(|error| error.is_not_found());
                if ended {
                    claim.end();
                    Self::remove_upload(directory);
                    return Err(StorageError::NotFound);
                }
                let path = claim.path().to_path_buf();
                let _ = claim.give_back();
                Err(io::Error::other("a part of the upload is not there")).context("open", &path)
            }
            Err(error) => {
                // The first error is the one to report.
                let _ = claim.give_back();
                Err(error)
            }
        }
    }

    /// Opens a claimed file, cut to what was acknowledged, and the record of that.
    fn open_claimed(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
        path: &Path,
    ) -> Result<(File, File, Record), StorageError> {
        let file = lookup::open_to_write(path)?;
        // A rename leaves the time of the last write, by which others judge whether this claim is alive.
        let now = Timestamps { last_access: OMIT, last_modification: NOW };
        rustix::fs::futimens(&file, &now).context("touch", path)?;
        let metadata = file.metadata().context("look up", path)?;
        let length = metadata.len();
        let state_path = self.layout.upload(repository, upload).join(STATE);
        let state = self.open_state(repository, upload, &state_path)?;
        let read = Record::read(&state, metadata.ino()).context("read", &state_path)?;
        let mut record = read.unwrap_or_default();
        if record.offset > 0 && (record.inode != metadata.ino() || length < record.offset) {
            record = Record { sequence: record.sequence, ..Record::empty(record.hasher.algorithm()) };
        }
        record.inode = metadata.ino();
        if length > record.offset {
            file.set_len(record.offset).context("truncate", path)?;
        }
        Ok((file, state, record))
    }

    /// Opens the record of a claimed upload, or makes it for one that registry:2 began.
    fn open_state(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
        path: &Path,
    ) -> Result<File, StorageError> {
        match lookup::open_to_write(path) {
            Err(StorageError::NotFound) => {
                self.require_upload(repository, upload)?;
                let directory = self.layout.upload(repository, upload);
                let state = create_state(&directory, Algorithm::Sha256)?;
                // A cancellation may have come between: it took no record with it.
                match lookup::open(self.layout.v2(), &directory.join(STARTED_AT))? {
                    Some(_) => Ok(state),
                    None => Err(StorageError::NotFound),
                }
            }
            result => result,
        }
    }

    /// Gives an upload back with all that was written acknowledged; returns how many bytes it has.
    pub fn release_upload(&self, mut upload: ClaimedUpload) -> Result<u64, StorageError> {
        // The record says that the bytes are there, so they are flushed first.
        let recorded = upload.flush().and_then(|()| {
            let Record { sequence, inode, .. } = upload.record;
            let (offset, hasher) = (upload.offset, upload.hasher.clone());
            let record = Record { sequence: sequence + 1, offset, inode, hasher };
            record.write(&upload.state).context("write", &upload.directory.join(STATE))
        });
        if let Err(error) = recorded {
            self.abandon_upload(upload);
            return Err(error);
        }
        let ClaimedUpload { claim, offset, directory, file, state, .. } = upload;
        // Who claims it next, on another NFS client, sees what was written before a file was closed.
        drop((file, state));
        match claim.give_back() {
            // Cancelled meanwhile, or taken over by a request that thought this one dead; then what was written is in
            // files that nobody looks at any more.
            Err(StorageError::NotFound) => {
                let started = lookup::open(self.layout.v2(), &directory.join(STARTED_AT))?;
                Err(started.map_or(StorageError::NotFound, |_| StorageError::UploadInUse))
            }
            result => result.map(|()| offset),
        }
    }

    /// Gives an upload back as it was before this request.
    pub fn abandon_upload(&self, upload: ClaimedUpload) {
        let ClaimedUpload { claim, file, state, record, .. } = upload;
        // The next claim cuts off what was not acknowledged too.
        let _ = file.set_len(record.offset);
        drop((file, state));
        // Later, if it cannot be now.
        let _ = claim.give_back();
    }

    /// Makes the content of an upload a blob of the repository, durably, and removes the upload. `is_known_good`
    /// says of a file that is stored there already whether this process found it to be right.
    ///
    /// # Errors
    /// `DigestMismatch` when the content is not what `digest` says; the upload is removed then too.
    pub fn commit_upload(
        &self,
        repository: &RepositoryName,
        mut upload: ClaimedUpload,
        digest: &Digest,
        is_known_good: &dyn Fn(&FileIdentity) -> bool,
    ) -> Result<UploadCommit, StorageError> {
        let prepared = upload.prepare(digest);
        let ClaimedUpload { directory, claim, file, state, record, .. } = upload;
        if prepared.is_err() {
            // On a full volume above all, what is not acknowledged shall not stay.
            let _ = file.set_len(record.offset);
        }
        // Open files cannot be removed on NFS without leaving `.nfsXXXX` behind.
        drop((file, state));
        let pushed = |size| Pushed { size, inode: record.inode, is_known_good };
        let published = prepared.and_then(|size| self.publish(claim.path(), &pushed(size), digest));
        let published = match published {
            Ok(published) => published,
            Err(error) => {
                let has_ended = match &error {
                    StorageError::DigestMismatch { .. } => {
                        claim.end();
                        true
                    }
                    // The client may try again: what it had acknowledged is there still, unless the error came
                    // after the bytes had become the blob.
                    _ => {
                        claim.give_back().is_err_and(|error| error.is_not_found())
                            && self.has_no_bytes(&directory)
                    }
                };
                if has_ended {
                    Self::remove_upload(directory);
                }
                return Err(error);
            }
        };
        let claim_path = &claim.path().to_path_buf();
        claim.end();
        let linked = self.link_blob(repository, digest).and_then(|()| self.confirm_blob(repository, digest));
        // The bytes are the blob's now: whatever became of the link, this upload cannot go on.
        Self::remove_upload(directory);
        match linked {
            Ok(found) => {
                let proven = found.filter(|found| found.is_inode(published.inode));
                if let Some(file) = proven {
                    // Its name was flushed when it was published.
                    self.note_settled(&self.layout.blob_directory(digest).join(DATA), file);
                }
                Ok(UploadCommit { proven })
            }
            // The upload was there: what is not found now is a part of the volume.
            Err(StorageError::NotFound) => {
                Err(io::Error::other("the directories of the repository are not there"))
                    .context("link", claim_path)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the bytes of an upload are in no file of its directory: then they have become the blob, and no server
    /// is taking the upload over.
    fn has_no_bytes(&self, directory: &Path) -> bool {
        let names = lookup::names(self.layout.v2(), directory);
        names.is_ok_and(|names| {
            names.unwrap_or_default().iter().all(|name| !name.trim_start_matches('.').starts_with(DATA))
        })
    }

    fn remove_upload(directory: PathBuf) {
        Leftover::Upload(directory).clear();
    }
}
