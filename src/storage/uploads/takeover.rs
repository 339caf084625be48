//! Taking an upload over from a server that died while it had it.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use uuid::Uuid;

use crate::{
    oci::{RepositoryName, UploadId},
    storage::{
        Storage, StorageError, atomic_file,
        error::IoContext,
        layout::{DATA, STARTED_AT, STATE},
        lookup,
    },
};

impl Storage {
    /// Makes `path` hold the acknowledged bytes of an upload whose claim is older than the takeover time.
    ///
    /// The old file is copied, never used: the server that had it may only be slow, and write on. Of several
    /// that try, the one whose unlink of the old file succeeds has the upload.
    ///
    /// # Errors
    /// `UploadInUse` when the claim is young, or another was faster.
    pub(in crate::storage) fn take_over(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
        path: &Path,
    ) -> Result<(), StorageError> {
        let directory = self.layout.upload(repository, upload);
        let names = lookup::names(self.layout.v2(), &directory)?.ok_or(StorageError::NotFound)?;
        if names.iter().any(|name| name == DATA) {
            // It was given back since the caller looked.
            let data = directory.join(DATA);
            match atomic_file::rename(&data, path, || path.exists()) {
                Err(StorageError::NotFound) => return Err(StorageError::UploadInUse),
                result => return result,
            }
        }
        let claims: Vec<_> = names.iter().filter(|name| name.starts_with("data.")).collect();
        let claim = match claims[..] {
            [claim] => claim,
            [] if self.is_lost(&directory, &names)? => return Err(StorageError::NotFound),
            _ => return Err(StorageError::UploadInUse),
        };
        let old = directory.join(claim);
        // Given back or taken since: by somebody who is alive.
        let Some(file) = lookup::open(self.layout.v2(), &old)? else {
            return Err(StorageError::UploadInUse);
        };
        if Self::idle_time(&directory, &file, &old)? < self.config.upload_takeover_after {
            return Err(StorageError::UploadInUse);
        }
        let copy = directory.join(format!(".{DATA}.{}.tmp", Uuid::new_v4().simple()));
        let taken = self.copy_and_take(repository, upload, file, &old, &copy, path);
        if taken.is_err() {
            atomic_file::remove_leftover(&copy);
        }
        taken
    }

    fn copy_and_take(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
        file: File,
        old: &Path,
        copy: &Path,
        path: &Path,
    ) -> Result<(), StorageError> {
        let mut record = self.upload_record(repository, upload)?.unwrap_or_default();
        let mut target = atomic_file::create_unique(copy)?;
        let copied = io::copy(&mut file.take(record.offset), &mut target).context("copy", copy)?;
        target.sync_all().context("flush", copy)?;
        if !atomic_file::remove(self.layout.v2(), old)? {
            return Err(StorageError::UploadInUse);
        }
        atomic_file::rename(copy, path, || path.exists())?;
        if copied == record.offset {
            record.inode = target.metadata().context("look up", path)?.ino();
            record.sequence = 0;
            // A file of its own, as the bytes are: the server that had the upload may write its record yet.
            let directory = self.layout.upload(repository, upload);
            atomic_file::put_volatile(&directory, STATE, &record.encode_alone())?;
        }
        Ok(())
    }

    /// Whether the bytes of an upload that nobody has claimed are gone, so that the client must start again: a server
    /// died between the two steps of a takeover. What is being taken over at this moment is not.
    fn is_lost(&self, directory: &Path, names: &[String]) -> Result<bool, StorageError> {
        let copies = names.iter().map(String::as_str).filter(|name| name.starts_with(&format!(".{DATA}.")));
        for name in copies.chain([STARTED_AT]) {
            let path = directory.join(name);
            if let Some(file) = lookup::open(self.layout.v2(), &path)?
                && Self::idle_time(directory, &file, &path)? < self.config.upload_takeover_after
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How long ago a file was written, by the clock of the file server.
    fn idle_time(directory: &Path, file: &File, path: &Path) -> Result<Duration, StorageError> {
        let written = file.metadata().and_then(|metadata| metadata.modified()).context("look up", path)?;
        Ok(Self::server_time(directory)?.duration_since(written).unwrap_or_default())
    }

    /// The clock of the file server, read off a file made for it: the clocks of the servers may differ.
    pub(in crate::storage) fn server_time(directory: &Path) -> Result<SystemTime, StorageError> {
        let path = directory.join(format!(".clock.{}.tmp", Uuid::new_v4().simple()));
        let file = atomic_file::create_unique(&path)?;
        let now = file.metadata().and_then(|metadata| metadata.modified()).context("look up", &path);
        drop(file);
        atomic_file::remove_leftover(&path);
        now
    }
}
