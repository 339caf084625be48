//! An upload that this request alone may write.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::fs::{Timespec, Timestamps};

use super::{Record, claim::Claim};
use crate::{
    oci::{Algorithm, DigestHasher, RepositoryName, UploadId},
    storage::{
        Storage, StorageError, atomic_file,
        error::IoContext,
        layout::{STARTED_AT, STATE},
        leftovers::Leftover,
        lookup,
    },
};

/// Bytes written between two flushes: the last one is short then, so that a client that waits at most 30 s for the
/// answer to its last request has it, and a full volume shows early.
const FLUSH_EVERY: u64 = 64 << 20;

/// Buffers of one call: the kernel's limit (`IOV_MAX`).
const IO_SLICES: usize = 1024;

const OMIT: Timespec = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
/// The file server's clock, not ours.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };

/// An upload claimed for writing. Give it to [`Storage::release_upload`], [`Storage::abandon_upload`] or
/// [`Storage::commit_upload`]; one that is only dropped is given back by the next [`Storage::tidy_up`].
#[derive(Debug)]
pub struct ClaimedUpload {
    pub(super) directory: PathBuf,
    pub(super) file: File,
    pub(super) state: File,
    /// What was acknowledged before this request, with the inode of `file`.
    pub(super) record: Record,
    pub(super) hasher: DigestHasher,
    flushed: u64,
    pub(super) offset: u64,
    /// Whether bytes that nobody acknowledged were cut off and the file was not flushed since: after a power cut they
    /// might be there again.
    pub(super) is_cut: bool,
    /// The last, for fields are dropped in this order: closing the files may write what an NFS client still has of
    /// them, and until then nobody may find them under the common name.
    pub(super) claim: Claim,
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
        }
        self.write_at_offset(buffers).context("write", self.claim.path())?;
        if self.offset - self.flushed >= FLUSH_EVERY {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes all buffers at the offset and moves it behind them: in one call, unless the kernel takes only a part.
    fn write_at_offset(&mut self, buffers: &[Bytes]) -> io::Result<()> {
        let mut written = 0;
        if buffers.len() > 1 {
            let slices: Vec<IoSlice<'_>> =
                buffers.iter().take(IO_SLICES).map(|buffer| IoSlice::new(buffer)).collect();
            written = rustix::io::retry_on_intr(|| rustix::io::pwritev(&self.file, &slices, self.offset))?;
        }
        for buffer in buffers {
            let done = written.min(buffer.len());
            written -= done;
            self.offset += done as u64;
            self.file.write_all_at(&buffer[done..], self.offset)?;
            self.offset += (buffer.len() - done) as u64;
        }
        Ok(())
    }

    /// Makes the bytes durable. After a failed flush the kernel forgets what it could not write: trying again
    /// proves nothing, so the upload is lost with it.
    pub(super) fn flush(&mut self) -> Result<(), StorageError> {
        // An empty file is flushed too: its name is about to be given to a blob.
        if self.offset > self.flushed || self.offset == 0 || self.is_cut {
            self.file.sync_all().context("flush", self.claim.path())?;
            self.flushed = self.offset;
            self.is_cut = false;
        }
        Ok(())
    }

    /// Makes the bytes durable, then writes down that they are acknowledged.
    pub(super) fn acknowledge(&mut self, is_on_nfs: bool) -> Result<(), StorageError> {
        self.flush()?;
        let Record { sequence, inode, .. } = self.record;
        let (offset, hasher) = (self.offset, self.hasher.clone());
        let path = self.directory.join(STATE);
        let record = Record { sequence: sequence + 1, offset, inode, hasher };
        record.write(&self.state).context("write", &path)?;
        if is_on_nfs {
            // What the file server says to a write, that there is no room for one, an NFS client tells when the file
            // is flushed. Closing it would send it as well, and the answer would be lost.
            self.state.sync_data().context("flush", &path)?;
        }
        Ok(())
    }

    /// Cuts off what was not acknowledged, on a full volume above all, but for a byte: it tells the next claim that
    /// the file was cut and is not flushed.
    pub(super) fn cut_to_a_byte(&self) {
        let acknowledged = self.record.offset;
        if self.is_cut || self.file.metadata().is_ok_and(|metadata| metadata.len() > acknowledged) {
            let _ = self.file.set_len(acknowledged + 1);
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
        self.take(repository, upload, &mut claim)?;
        match self.open_claimed(&directory, claim.path()) {
            Ok(opened) => Ok(opened.claimed(directory, claim)),
            Err(StorageError::NotFound) => Err(self.incomplete(repository, upload, claim)),
            Err(error) => {
                // The first error is the one to report.
                let _ = claim.give_back();
                Err(error)
            }
        }
    }

    /// Takes an upload: the common name, or that of a server which died.
    fn take(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
        claim: &mut Claim,
    ) -> Result<(), StorageError> {
        match claim.take() {
            Err(StorageError::NotFound) => self.require_upload(repository, upload)?,
            result => return result,
        }
        // Between the two looks it may have been given back.
        match claim.take() {
            Err(StorageError::NotFound) => {
                self.take_over(repository, upload, claim.path())?;
                claim.taken();
                Ok(())
            }
            result => result,
        }
    }

    /// The error for a claimed upload of which a part is not there: a request that met a cancellation may have given
    /// the bytes of the ended upload back.
    fn incomplete(&self, repository: &RepositoryName, upload: &UploadId, claim: Claim) -> StorageError {
        if self.require_upload(repository, upload).is_err_and(|error| error.is_not_found()) {
            claim.end();
            Self::remove_upload(self.layout.upload(repository, upload));
            return StorageError::NotFound;
        }
        let path = claim.path().to_path_buf();
        let _ = claim.give_back();
        let source = io::Error::other("a part of the upload is not there");
        StorageError::Io { operation: "open", path, source }
    }

    /// Opens a claimed file, cut to what was acknowledged, and the record of that.
    fn open_claimed(&self, directory: &Path, path: &Path) -> Result<Opened, StorageError> {
        let file = lookup::open_to_write(path)?;
        // A rename leaves the time of the last write, by which others judge whether this claim is alive.
        let now = Timestamps { last_access: OMIT, last_modification: NOW };
        rustix::fs::futimens(&file, &now).context("touch", path)?;
        let metadata = file.metadata().context("look up", path)?;
        let length = metadata.len();
        let state_path = directory.join(STATE);
        let state = self.open_state(directory, &state_path)?;
        let read = Record::read(&state, metadata.ino()).context("read", &state_path)?;
        let mut record = read.unwrap_or_default();
        if record.offset > 0 && (record.inode != metadata.ino() || length < record.offset) {
            record = Record { sequence: record.sequence, ..Record::empty(record.hasher.algorithm()) };
        }
        record.inode = metadata.ino();
        let is_cut = length > record.offset;
        if is_cut {
            file.set_len(record.offset).context("truncate", path)?;
        }
        Ok(Opened { file, state, record, is_cut })
    }

    /// Opens the record of a claimed upload, or makes it for one that registry:2 began.
    fn open_state(&self, directory: &Path, path: &Path) -> Result<File, StorageError> {
        match lookup::open_to_write(path) {
            Err(StorageError::NotFound) => {}
            result => return result,
        }
        let started = || lookup::open(self.layout.v2(), &directory.join(STARTED_AT));
        started()?.ok_or(StorageError::NotFound)?;
        // Who took the upload over meanwhile keeps the record that it made.
        atomic_file::put_if_absent(directory, STATE, &Record::empty(Algorithm::Sha256).encode_alone())?;
        let state = lookup::open_to_write(path)?;
        // A cancellation may have come between: it took no record with it.
        started()?.map(|_| state).ok_or(StorageError::NotFound)
    }

    /// Gives an upload back with all that was written acknowledged; returns how many bytes it has.
    ///
    /// # Errors
    /// `UploadInUse` when another request thought this one dead and has taken the upload over, `NotFound` when it was
    /// cancelled.
    pub fn release_upload(&self, mut upload: ClaimedUpload) -> Result<u64, StorageError> {
        if let Err(error) = upload.acknowledge(self.settled.is_synchronous()) {
            self.abandon_upload(upload);
            return Err(error);
        }
        let ClaimedUpload { claim, offset, directory, file, state, .. } = upload;
        // Who claims it next, on another NFS client, sees what was written before a file was closed.
        drop((file, state));
        match claim.give_back() {
            // What was written is in files that nobody looks at any more.
            Err(error @ StorageError::NotFound) => Err(self.why_gone(&directory, error)),
            result => result.map(|()| offset),
        }
    }

    /// What to say when the bytes of a claim are gone: that another request has taken the upload over, if it is
    /// there; else `error`.
    pub(super) fn why_gone(&self, directory: &Path, error: StorageError) -> StorageError {
        match lookup::open(self.layout.v2(), &directory.join(STARTED_AT)) {
            Ok(Some(_)) => StorageError::UploadInUse,
            Ok(None) => error,
            Err(failed) => failed,
        }
    }

    /// Gives an upload back as it was before this request.
    pub fn abandon_upload(&self, upload: ClaimedUpload) {
        // The next claim cuts off what was not acknowledged too.
        upload.cut_to_a_byte();
        let ClaimedUpload { claim, file, state, .. } = upload;
        drop((file, state));
        // Later, if it cannot be now.
        let _ = claim.give_back();
    }

    pub(super) fn remove_upload(directory: PathBuf) {
        Leftover::Upload(directory).clear();
    }
}

/// The files of a claim.
struct Opened {
    file: File,
    state: File,
    record: Record,
    is_cut: bool,
}

impl Opened {
    fn claimed(self, directory: PathBuf, mut claim: Claim) -> ClaimedUpload {
        let Self { file, state, record, is_cut } = self;
        claim.opened(record.inode);
        // Bytes are acknowledged only once they are flushed.
        let (flushed, offset) = (record.offset, record.offset);
        ClaimedUpload {
            directory,
            file,
            state,
            hasher: record.hasher.clone(),
            record,
            flushed,
            offset,
            is_cut,
            claim,
        }
    }
}
