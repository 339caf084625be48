//! Upload sessions: bytes on their way in, kept on the volume so that any server can go on with them.
//!
//! A session is the directory `_uploads/<id>`. `startedat` makes it one; `data` has the bytes; `state` says how
//! many of them were acknowledged and what their hash is so far. Bytes in `data` beyond that are of a request
//! that broke off, and are cut off before anything is written: a chunk that is sent again never leaves torn
//! bytes under a good digest.
//!
//! **Exclusive use is a rename**: who renames `data` to `data.<token>` has the session, and nobody else can,
//! on any server. It is given back by the reverse rename, and a commit renames `data.<token>` to the blob. A
//! server that died leaves `data.<token>` behind; when that has not been written for the takeover time (by the
//! file server's clock), another copies the acknowledged bytes to a file of its own and unlinks the old one. A
//! server that was only slow then finds its file gone and fails; it can never write into what another commits.

mod claim;
mod claimed;
mod record;
mod takeover;

use std::path::Path;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub use claimed::{ClaimedUpload, UploadCommit};
use record::Record;

use super::{Storage, StorageError, atomic_file, error::IoContext, layout::DATA, leftovers::Leftover};
use crate::oci::{Algorithm, RepositoryName, UploadId};

const STARTED_AT: &str = "startedat";
const STATE: &str = "state";

impl Storage {
    /// Starts an upload. A repository comes into being with its first blob or manifest, not with this. Nothing of it need survive a power cut: it has acknowledged no byte.
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
        if !atomic_file::make_directory(directory)? {
            atomic_file::make_directories(self.layout.v2(), directory)?;
        }
        atomic_file::create_new(&directory.join(DATA))?;
        if algorithm != Algorithm::Sha256 {
            atomic_file::put_volatile(directory, STATE, &Record::empty(algorithm).encode())?;
        }
        // Last: its presence is the session. registry:2 reads it as RFC 3339, in seconds, to purge old ones.
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let started = now.format(&Rfc3339).map_err(std::io::Error::other).context("date", directory)?;
        atomic_file::put_volatile(directory, STARTED_AT, started.as_bytes())
    }

    /// How many bytes of an upload were acknowledged.
    ///
    /// # Errors
    /// `NotFound` when there is no such upload.
    pub fn upload_offset(&self, repository: &RepositoryName, upload: &UploadId) -> Result<u64, StorageError> {
        self.require_upload(repository, upload)?;
        Ok(self.upload_record(repository, upload)?.offset)
    }

    /// Removes an upload and its bytes.
    ///
    /// # Errors
    /// `NotFound` when there is no such upload.
    pub fn cancel_upload(&self, repository: &RepositoryName, upload: &UploadId) -> Result<(), StorageError> {
        let directory = self.layout.upload(repository, upload);
        match atomic_file::remove(self.layout.v2(), &directory.join(STARTED_AT)) {
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

    fn require_upload(&self, repository: &RepositoryName, upload: &UploadId) -> Result<(), StorageError> {
        let path = self.layout.upload(repository, upload).join(STARTED_AT);
        atomic_file::open(self.layout.v2(), &path)?.map(drop).ok_or(StorageError::NotFound)
    }

    /// What was acknowledged; nothing when no record can be read.
    fn upload_record(&self, repository: &RepositoryName, upload: &UploadId) -> Result<Record, StorageError> {
        let path = self.layout.upload(repository, upload).join(STATE);
        let bytes = atomic_file::read_small(self.layout.v2(), &path)?;
        Ok(bytes.and_then(|bytes| Record::decode(&bytes)).unwrap_or_else(|| Record::empty(Algorithm::Sha256)))
    }
}
