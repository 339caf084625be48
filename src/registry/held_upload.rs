//! An upload that a request has claimed, which is given back whatever becomes of the request.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, LazyLock, mpsc},
    thread,
};

use crate::{
    oci::{RepositoryName, UploadId},
    storage::{ClaimedUpload, Storage, StorageError},
};

/// A claimed upload. One that is dropped, since the volume hangs or does not answer in time, is abandoned on a thread
/// of its own: closing its files waits for the file server as any other call can.
pub(super) struct HeldUpload {
    claimed: Option<Box<ClaimedUpload>>,
    storage: Arc<Storage>,
}

impl HeldUpload {
    /// Claims an upload. Blocks.
    pub(super) fn claim(
        storage: &Arc<Storage>,
        repository: &RepositoryName,
        upload: &UploadId,
    ) -> Result<Self, StorageError> {
        let claimed = storage.claim_upload(repository, upload)?;
        Ok(Self { claimed: Some(Box::new(claimed)), storage: storage.clone() })
    }

    /// The upload, for who ends the request with it on a thread that may block.
    pub(super) fn into_claimed(mut self) -> ClaimedUpload {
        *self.claimed.take().expect(UNTIL_DROPPED)
    }
}

const UNTIL_DROPPED: &str = "an upload until it is dropped";

impl Deref for HeldUpload {
    type Target = ClaimedUpload;

    fn deref(&self) -> &ClaimedUpload {
        self.claimed.as_ref().expect(UNTIL_DROPPED)
    }
}

impl DerefMut for HeldUpload {
    fn deref_mut(&mut self) -> &mut ClaimedUpload {
        self.claimed.as_mut().expect(UNTIL_DROPPED)
    }
}

impl Drop for HeldUpload {
    fn drop(&mut self) {
        // One thread for all: while the volume hangs no more wait for it, however many uploads were on their way.
        static ABANDONED: LazyLock<mpsc::Sender<(Box<ClaimedUpload>, Arc<Storage>)>> = LazyLock::new(|| {
            let (sender, uploads) = mpsc::channel::<(Box<ClaimedUpload>, Arc<Storage>)>();
            let abandon =
                || uploads.into_iter().for_each(|(upload, storage)| storage.abandon_upload(*upload));
            // Without it, what is sent comes back and is dropped here.
            let _ = thread::Builder::new().name("abandon-uploads".to_owned()).spawn(abandon);
            sender
        });
        if let Some(claimed) = self.claimed.take() {
            let _ = ABANDONED.send((claimed, self.storage.clone()));
        }
    }
}
