//! Hashing and writing an upload in large pieces, each on a thread that may block, none of which waits for a
//! slow client.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};

use super::{Registry, RegistryError, blocking::Work, counters::Receiving, held_upload::HeldUpload};
use crate::storage::StorageError;

/// Bytes gathered before they are hashed and written in one go. A request holds at most two pieces.
const PIECE: usize = 256 * 1024;

/// The same for a client that sends fast, since two threads are woken for each piece. A slow one's would only hold
/// memory.
const FAST_PIECE: usize = 512 * 1024;

/// With more uploads than this at once, all pieces are small: together they would fill the memory while a volume hangs.
const FAST_UPLOADS: u64 = 16;

/// A client is fast that filled a piece within this time: 16 MiB a second.
const FAST: Duration = Duration::from_millis(16);

/// Most buffers in one piece, so that a client that sends single bytes does not cost much memory for each.
const PIECE_BUFFERS: usize = 1024;

/// The longest a piece of a slow client is gathered: other servers take an upload that is not written for dead.
const SLOWEST_PIECE: Duration = Duration::from_secs(20);

/// An upload being written; at most one piece is on its way to the volume.
pub(super) struct UploadWriter {
    registry: Registry,
    state: State,
    piece: Vec<Bytes>,
    piece_size: usize,
    /// How many bytes the next write waits for.
    piece_target: usize,
    last_write: Instant,
    _receiving: Receiving,
}

enum State {
    Idle(HeldUpload),
    Writing(BoxFuture<'static, Written>),
    /// The volume did not answer and has the claim still; or it has been taken out of this writer.
    Lost,
}

type Written = Result<(HeldUpload, Result<(), StorageError>), RegistryError>;

impl UploadWriter {
    pub(super) fn new(registry: Registry, claimed: HeldUpload) -> Self {
        Self {
            _receiving: Receiving::begin(registry.counters()),
            registry,
            state: State::Idle(claimed),
            piece: Vec::new(),
            piece_size: 0,
            piece_target: PIECE,
            last_write: Instant::now(),
        }
    }

    /// Where the first byte goes; only before anything is written.
    pub(super) fn offset(&self) -> u64 {
        if let State::Idle(claimed) = &self.state { claimed.offset() } else { 0 }
    }

    /// Takes in bytes; waits while two pieces are full.
    pub(super) async fn write(&mut self, buffer: Bytes) -> Result<(), RegistryError> {
        self.piece_size += buffer.len();
        if !buffer.is_empty() {
            self.piece.push(buffer);
        }
        let waited = self.last_write.elapsed() >= SLOWEST_PIECE;
        if self.piece_size >= self.piece_target || self.piece.len() >= PIECE_BUFFERS || waited {
            self.start_piece().await
        } else {
            Ok(())
        }
    }

    /// Writes what is left, and waits for it.
    pub(super) async fn finish(&mut self) -> Result<(), RegistryError> {
        if !self.piece.is_empty() {
            self.start_piece().await?;
        }
        self.settle().await
    }

    /// The claim, when nothing writes with it any more.
    pub(super) async fn into_claim(mut self) -> Option<HeldUpload> {
        // Its failure has been reported by the call that found it.
        let _ = self.settle().await;
        if let State::Idle(claimed) = self.state { Some(claimed) } else { None }
    }

    async fn start_piece(&mut self) -> Result<(), RegistryError> {
        // Before the wait for the volume, whose speed is not the client's.
        let few = self.registry.counters().uploads_receiving.load(Ordering::Relaxed) <= FAST_UPLOADS;
        let is_fast = few && self.piece_size >= PIECE && self.last_write.elapsed() <= FAST;
        self.piece_target = if is_fast { FAST_PIECE } else { PIECE };
        self.settle().await?;
        let State::Idle(mut claimed) = std::mem::replace(&mut self.state, State::Lost) else {
            return Err(RegistryError::Internal);
        };
        let piece = std::mem::take(&mut self.piece);
        self.piece_size = 0;
        self.last_write = Instant::now();
        let (storage, watch) = (self.registry.inner.storage.clone(), self.registry.inner.watch.clone());
        let write = move || {
            let size = piece.iter().map(|buffer| buffer.len() as u64).sum();
            // Looked at with each piece: other servers fill the volume too.
            let result = watch.require_room(&storage).and_then(|()| {
                let written = claimed.write(&piece);
                match &written {
                    Ok(()) => watch.written(size),
                    Err(error) => watch.note(error),
                }
                written
            });
            (claimed, result)
        };
        self.state = State::Writing(self.registry.inner.blocking.run(Work::Write, write).boxed());
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), RegistryError> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Writing(task) => {
                let (claimed, result) = task.await?;
                self.state = State::Idle(claimed);
                Ok(result?)
            }
            state => {
                self.state = state;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oci::{Algorithm, RepositoryName},
        registry::Config,
        storage::{self, Storage},
    };

    /// What the next write of a client waits for that sends as fast as can be, `uploads` being received.
    async fn target_of_a_fast_client(uploads: u64) -> usize {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(storage::Config::new(directory.path().to_path_buf())).unwrap();
        let registry = Registry::new(storage, Config::default());
        let name: RepositoryName = "team/app".parse().unwrap();
        let upload = registry.start_upload(&name, Algorithm::Sha256).await.unwrap();
        let claimed = HeldUpload::claim(&registry.inner.storage, &name, &upload).unwrap();
        let mut writer = UploadWriter::new(registry.clone(), claimed);
        let _others: Vec<_> = (1..uploads).map(|_| Receiving::begin(registry.counters())).collect();
        // No time passes until then, however busy the machine is.
        writer.last_write = Instant::now() + Duration::from_secs(3600);
        writer.write(Bytes::from(vec![0; PIECE])).await.unwrap();
        let target = writer.piece_target;
        writer.finish().await.unwrap();
        target
    }

    #[tokio::test]
    async fn the_pieces_of_fast_clients_are_large_only_while_they_are_few() {
        assert_eq!(target_of_a_fast_client(1).await, FAST_PIECE);
        assert_eq!(target_of_a_fast_client(FAST_UPLOADS).await, FAST_PIECE);
        assert_eq!(target_of_a_fast_client(FAST_UPLOADS + 1).await, PIECE);
    }
}
