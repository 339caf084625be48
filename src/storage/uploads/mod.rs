//! Upload sessions: bytes on their way in, kept on the volume so that any server can go on with them.
//!
//! A session is the directory `_uploads/<id>`. `data` has the bytes; `state` says how many of them were acknowledged
//! and what their hash is so far. Bytes in `data` beyond that are of a request that broke off, and are cut off before
//! anything is written: a chunk that is sent again never leaves torn bytes under a good digest. `startedat` makes it a
//! session to registry:2, whose own have no `state`. A session goes with both, `startedat` first.
//!
//! **Exclusive use is a rename**: who renames `data` to `data.<token>` has the session, and nobody else can,
//! on any server. It is given back by the reverse rename, and a commit renames `data.<token>` to the blob. A
//! server that died leaves `data.<token>` behind; when that has not been written for the takeover time (by the
//! file server's clock), another copies the acknowledged bytes to a file of its own and unlinks the old one. A
//! server that was only slow then finds its file gone and fails; it can never write into what another commits.

mod claim;
mod claimed;
mod commit;
mod record;
mod takeover;
#[cfg(test)]
mod tests;

use std::{io::Write, path::Path};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub use claimed::ClaimedUpload;
pub use commit::UploadCommit;
use record::Record;

use super::{
    Storage, StorageError, atomic_file, directories,
    error::IoContext,
    layout::{DATA, STARTED_AT, STATE},
    leftovers::Leftover,
    lookup,
};
use crate::oci::{Algorithm, RepositoryName, UploadId};

impl Storage {
    /// Starts an upload. A repository comes into being with its first blob or manifest, not with this. Nothing of it
    /// need survive a power cut: it has acknowledged no byte.
    pub fn start_upload(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, StorageError> {
        Self::tidy_up();
        let upload = UploadId::random();
        let directory = self.layout.upload(repository, &upload);
        let begun = self.begin_upload(&directory, algorithm);
        if begun.is_err() {
            // Nobody knows its name.
            Leftover::Upload(directory).clear();
        }
        begun.map(|()| upload)
    }

    fn begin_upload(&self, directory: &Path, algorithm: Algorithm) -> Result<(), StorageError> {
        directories::make(self.layout.v2(), directory)?;
        atomic_file::create_unique(&directory.join(DATA))?;
        let path = directory.join(STATE);
        let mut state = atomic_file::create_unique(&path)?;
        state.write_all(&Record::empty(algorithm).encode_alone()).context("write", &path)?;
        // registry:2 reads it as RFC 3339, in seconds, to purge old ones, and would never purge one in which it is
        // empty: a server that dies here leaves it whole or not there.
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let started = now.format(&Rfc3339).map_err(std::io::Error::other).context("date", directory)?;
        atomic_file::put_volatile(directory, STARTED_AT, started.as_bytes())
    }

    /// How many bytes of an upload were acknowledged.
    ///
    /// # Errors
    /// `NotFound` when there is no such upload.
    pub fn upload_offset(&self, repository: &RepositoryName, upload: &UploadId) -> Result<u64, StorageError> {
        let record = self.upload_record(repository, upload)?;
        let directory = self.layout.upload(repository, upload);
        // One that has ended may have left one of the two behind, when removing it failed.
        lookup::open(self.layout.v2(), &directory.join(STARTED_AT))?.ok_or(StorageError::NotFound)?;
        match record {
            Some(record) => Ok(record.offset),
            None if self.has_no_bytes(&directory) => Err(StorageError::NotFound),
            None => Ok(0),
        }
    }

    /// Removes an upload and its bytes.
    ///
    /// # Errors
    /// `NotFound` when there is no such upload.
    pub fn cancel_upload(&self, repository: &RepositoryName, upload: &UploadId) -> Result<(), StorageError> {
        let directory = self.layout.upload(repository, upload);
        let remove = |name| atomic_file::remove(self.layout.v2(), &directory.join(name));
        // Of several, one removes the first. Whoever answers, the second is gone by then, and the upload with it.
        match remove(STARTED_AT).and_then(|found| remove(STATE).map(|_| found)) {
            Ok(false) => Err(StorageError::NotFound),
            Ok(true) => {
                Leftover::Upload(directory).clear();
                Ok(())
            }
            Err(error) => {
                Leftover::Upload(directory).remember();
                Err(error)
            }
        }
    }

    /// Has the next [`Storage::tidy_up`] remove an upload that nobody goes on with. Does not wait for the volume.
    pub fn discard_upload_later(&self, repository: &RepositoryName, upload: &UploadId) {
        Leftover::Upload(self.layout.upload(repository, upload)).remember();
    }

    /// That there is such an upload, of whichever registry.
    fn require_upload(&self, repository: &RepositoryName, upload: &UploadId) -> Result<(), StorageError> {
        let directory = self.layout.upload(repository, upload);
        for name in [STATE, STARTED_AT] {
            if lookup::open(self.layout.v2(), &directory.join(name))?.is_some() {
                return Ok(());
            }
        }
        Err(StorageError::NotFound)
    }

    /// What was acknowledged, or nothing when no record can be read; `None` when there is none, as for an upload of
    /// registry:2.
    fn upload_record(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
    ) -> Result<Option<Record>, StorageError> {
        let path = self.layout.upload(repository, upload).join(STATE);
        let file = lookup::read_small(self.layout.v2(), &path)?;
        Ok(file.map(|file| Record::decode_last(&file.bytes, None).unwrap_or_default()))
    }
}
