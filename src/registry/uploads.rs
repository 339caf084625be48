//! Uploads: bytes are hashed and written as they come, in large pieces, off the async threads; the last request
//! of an upload finds nothing left to do but to publish.

use std::{ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::{
    BodyError, Registry, RegistryError, blocking::Work, held_upload::HeldUpload, upload_writer::UploadWriter,
};
use crate::{
    oci::{Algorithm, Digest, RepositoryName, UploadId},
    storage::{ClaimedUpload, FileIdentity, Storage, StorageError},
};

/// How long an answer waits for an upload to be removed that it ends.
const DISCARD: Duration = Duration::from_secs(1);

impl Registry {
    /// Starts an upload whose bytes are hashed with `algorithm`.
    ///
    /// # Errors
    /// `OutOfSpace` already when the volume has less room than is kept free: better now than after a gigabyte.
    pub async fn start_upload(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, RegistryError> {
        let name = repository.clone();
        self.inner.watch.require_room(&self.inner.storage)?;
        let (storage, undo_name, undo_on) =
            (self.inner.storage.clone(), repository.clone(), self.inner.storage.clone());
        let start = move || storage.start_upload(&name, algorithm);
        // An upload whose client was told that the volume does not answer is known to nobody.
        let undo = move |started: Result<UploadId, StorageError>| {
            if let Ok(upload) = started {
                let _ = undo_on.cancel_upload(&undo_name, &upload);
            }
        };
        let started = self.inner.blocking.run_or_undo(Work::Lookup, start, undo).await?;
        if let Err(error) = &started {
            self.inner.watch.note(error);
        }
        Ok(started?)
    }

    /// How many bytes of an upload were acknowledged.
    pub async fn upload_offset(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
    ) -> Result<u64, RegistryError> {
        let (name, id) = (repository.clone(), *upload);
        let offset =
            self.storage_result(Work::Lookup, move |storage| storage.upload_offset(&name, &id)).await?;
        offset.map_err(|error| upload_error(error, upload))
    }

    /// Ends an upload and forgets its bytes.
    pub async fn cancel_upload(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
    ) -> Result<(), RegistryError> {
        let (name, id) = (repository.clone(), *upload);
        let cancelled =
            self.storage_result(Work::Lookup, move |storage| storage.cancel_upload(&name, &id)).await?;
        cancelled.map_err(|error| upload_error(error, upload))
    }

    /// Ends an upload whose address no client knows; as soon as the volume answers, if it does not now. That is not
    /// waited for: a volume that hangs has let the client wait for the length of a deadline already.
    pub async fn discard_upload(&self, repository: &RepositoryName, upload: &UploadId) {
        let (registry, repository, upload) = (self.clone(), repository.clone(), *upload);
        let discard = tokio::spawn(async move {
            if let Err(RegistryError::Unavailable(_)) = registry.cancel_upload(&repository, &upload).await {
                registry.inner.storage.discard_upload_later(&repository, &upload);
            }
        });
        let _ = tokio::time::timeout(DISCARD, discard).await;
    }

    /// Appends a body to an upload; returns how many bytes it has then. `expected` is the range the client says
    /// the body has.
    ///
    /// # Errors
    /// When the body does not arrive whole the upload is as it was before.
    pub async fn append_to_upload<B>(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
        expected: Option<RangeInclusive<u64>>,
        body: B,
    ) -> Result<u64, RegistryError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Send + Unpin + 'static,
    {
        self.receive(repository, upload, expected, body, Storage::release_upload, drop).await
    }

    /// Appends a body, which may be empty, to an upload and makes all of it a blob of the repository. `late` is told
    /// when it is one after the deadline.
    ///
    /// # Errors
    /// `DigestMismatch` ends the upload; after the others it is as it was before.
    pub async fn commit_upload<B>(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
        expected: Option<RangeInclusive<u64>>,
        body: B,
        digest: &Digest,
        late: impl FnOnce(()) + Send + 'static,
    ) -> Result<(), RegistryError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Send + Unpin + 'static,
    {
        let (name, wanted) = (repository.clone(), digest.clone());
        let integrity = self.inner.integrity.clone();
        let commit = move |storage: &Storage, claimed| {
            let is_known_good = |found: &FileIdentity| integrity.is_proven(&wanted, found);
            let commit = storage.commit_upload(&name, claimed, &wanted, &is_known_good)?;
            if let Some(identity) = commit.proven {
                integrity.prove(&wanted, identity);
            }
            Ok(())
        };
        self.receive(repository, upload, expected, body, commit, late).await
    }

    /// Claims an upload, writes a body to it, and gives the claim to `finish`; `late` is told what came of that after
    /// the deadline.
    ///
    /// In a task of its own: when the connection breaks the request is dropped wherever it is, and the claim must
    /// be given back all the same.
    async fn receive<B, T: Send + 'static>(
        &self,
        repository: &RepositoryName,
        upload: &UploadId,
        expected: Option<RangeInclusive<u64>>,
        body: B,
        finish: impl FnOnce(&Storage, ClaimedUpload) -> Result<T, StorageError> + Send + 'static,
        late: impl FnOnce(T) + Send + 'static,
    ) -> Result<T, RegistryError>
    where
        B: Stream<Item = Result<Bytes, BodyError>> + Send + Unpin + 'static,
    {
        let (registry, name, id) = (self.clone(), repository.clone(), *upload);
        let task = tokio::spawn(async move {
            let storage = registry.inner.storage.clone();
            let claim = move |_: &Storage| HeldUpload::claim(&storage, &name, &id);
            let claimed = registry.storage_result(Work::Write, claim).await?;
            let claimed = claimed.map_err(|error| upload_error(error, &id))?;
            let mut writer = UploadWriter::new(registry.clone(), claimed);
            let written = write_body(&mut writer, expected, body).await;
            match (written, writer.into_claim().await) {
                (Ok(()), Some(claimed)) => {
                    let finish = move |storage: &Storage| finish(storage, claimed.into_claimed());
                    registry.change_result(finish, late).await?.map_err(|error| upload_error(error, &id))
                }
                (Ok(()), None) => Err(RegistryError::Internal),
                (Err(error), claim) => {
                    if let Some(claimed) = claim {
                        let give_back = move |storage: &Storage| {
                            storage.abandon_upload(claimed.into_claimed());
                            Ok(())
                        };
                        registry.storage(Work::Write, give_back).await?;
                    }
                    Err(error)
                }
            }
        });
        task.await.map_err(|_| RegistryError::Internal)?
    }
}

/// Writes a body to a claimed upload, the next piece being gathered while one is hashed and written.
async fn write_body<B>(
    writer: &mut UploadWriter,
    expected: Option<RangeInclusive<u64>>,
    mut body: B,
) -> Result<(), RegistryError>
where
    B: Stream<Item = Result<Bytes, BodyError>> + Send + Unpin,
{
    let start = writer.offset();
    if expected.as_ref().is_some_and(|range| *range.start() != start) {
        return Err(RegistryError::RangeMismatch { offset: start });
    }
    let length = expected.map(|range| range.end() - range.start() + 1);
    let mut received = 0;
    while let Some(buffer) = body.next().await {
        let buffer = buffer?;
        received += buffer.len() as u64;
        if let Some(expected) = length
            && received > expected
        {
            return Err(RegistryError::SizeMismatch { expected, received });
        }
        writer.write(buffer).await?;
    }
    match length {
        Some(expected) if received < expected => Err(RegistryError::SizeMismatch { expected, received }),
        _ => writer.finish().await,
    }
}

fn upload_error(error: StorageError, upload: &UploadId) -> RegistryError {
    match error {
        StorageError::NotFound => RegistryError::UploadUnknown(*upload),
        StorageError::UploadInUse => RegistryError::UploadInUse(*upload),
        error => error.into(),
    }
}
