//! Whether stored bytes are what their digest says: found out at the first read, remembered, never asked again.
//!
//! The first read of a file by this process is hashed while it streams (see [`FirstRead`]). A file that was found
//! right, or whose bytes this process received and hashed itself, is remembered by its [`FileIdentity`]: later
//! reads compare that and hash nothing. When it changes, the file is a new one.
//!
//! All of this is memory that may be lost: without it, bytes are hashed once more.

mod first_read;

use std::sync::{Arc, atomic::AtomicU64};

use moka::sync::Cache;

pub(super) use first_read::{FirstRead, Verdict};

use super::counters::Counters;
use crate::{
    oci::{Digest, Manifest},
    storage::{BlobFile, FileIdentity, Storage, StorageError, StoredBlob},
};

/// Most files remembered as right, and most sizes known. An entry takes about 300 bytes.
const REMEMBERED: u64 = 50_000;

/// Most first reads that are under way or were broken off. One takes about 500 bytes.
const FIRST_READS: u64 = 2_000;

/// Content of at most so many bytes is verified before the first of them is sent: its damage answers 404.
pub(super) const SMALL: u64 = 256 * 1024;

/// What is known of stored content. Cloning is cheap: clones know the same.
#[derive(Clone)]
pub(super) struct Integrity {
    proven: Cache<Digest, FileIdentity>,
    first_reads: Cache<Digest, Arc<FirstRead>>,
    /// Sizes that manifests or pushes gave, in bytes.
    sizes: Cache<Digest, u64>,
    counters: Arc<Counters>,
}

impl Integrity {
    pub(super) fn new() -> Self {
        Self {
            proven: Cache::new(REMEMBERED),
            first_reads: Cache::new(FIRST_READS),
            sizes: Cache::new(REMEMBERED),
            counters: Arc::new(Counters::new()),
        }
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(super) fn count(&self, counter: fn(&Counters) -> &AtomicU64) {
        Counters::add(counter(&self.counters));
    }

    /// Whether a file was found to have the bytes of `digest`.
    pub(super) fn is_proven(&self, digest: &Digest, identity: &FileIdentity) -> bool {
        self.proven.get(digest).as_ref() == Some(identity)
    }

    /// Remembers that a file has the bytes of `digest`.
    pub(super) fn prove(&self, digest: &Digest, identity: FileIdentity) {
        self.count(|counters| &counters.blobs_verified);
        self.proven.insert(digest.clone(), identity);
        self.sizes.insert(digest.clone(), identity.size);
        self.first_reads.invalidate(digest);
    }

    /// Remembers the sizes that a manifest gives for what it names.
    pub(super) fn expect_sizes(&self, manifest: &Manifest) {
        for descriptor in manifest.required_blobs().chain(&manifest.manifests) {
            self.sizes.insert(descriptor.digest.clone(), descriptor.size);
        }
    }

    /// Whether the size of a stored file alone makes it doubtful.
    pub(super) fn is_doubtful(&self, digest: &Digest, identity: &FileIdentity) -> bool {
        let is_wrong = (identity.size == 0 && !is_empty(digest))
            || self.sizes.get(digest).is_some_and(|size| size != identity.size);
        is_wrong && !self.is_proven(digest, identity)
    }

    /// What must be hashed when this file is read; `None` when it is known to be right.
    pub(super) fn first_read(&self, digest: &Digest, identity: &FileIdentity) -> Option<Arc<FirstRead>> {
        if self.is_proven(digest, identity) {
            return None;
        }
        let started = || Arc::new(FirstRead::new(digest.clone(), *identity));
        let found = self.first_reads.get_with_by_ref(digest, started);
        if found.identity() == identity {
            return Some(found);
        }
        let new = started();
        self.first_reads.insert(digest.clone(), new.clone());
        Some(new)
    }

    /// Looks a blob up whose size is right: a doubtful one is read, and when it is damaged it is set aside and not
    /// there. Blocks as long as the reading takes.
    pub(super) fn confirm_size(
        &self,
        storage: &Storage,
        blob: Option<StoredBlob>,
    ) -> Result<Option<StoredBlob>, StorageError> {
        match blob {
            Some(blob) if self.is_doubtful(&blob.stored_as, &blob.identity) => {
                Ok((self.examine(storage, &blob.stored_as)? == Verdict::Right).then_some(blob))
            }
            blob => Ok(blob),
        }
    }

    /// Reads stored content whole; when it is not what its digest says, reads it once more, since a failure of
    /// this machine's memory must not condemn it, and sets it aside. Blocks as long as that takes.
    ///
    /// # Errors
    /// When it cannot be read: that is not damage.
    pub(super) fn examine(&self, storage: &Storage, digest: &Digest) -> Result<Verdict, StorageError> {
        match read_until_sure(storage, digest, &mut |_| Ok(()))? {
            // Somebody set it aside meanwhile.
            None => Ok(Verdict::Damaged),
            Some((identity, Verdict::Right)) => {
                self.prove(digest, identity);
                Ok(Verdict::Right)
            }
            Some((identity, Verdict::Damaged)) => {
                self.set_aside(storage, digest, &identity)?;
                Ok(Verdict::Damaged)
            }
        }
    }

    /// Sets damaged content aside and says so.
    pub(super) fn set_aside(
        &self,
        storage: &Storage,
        digest: &Digest,
        identity: &FileIdentity,
    ) -> Result<(), StorageError> {
        self.count(|counters| &counters.damaged_found);
        self.first_reads.invalidate(digest);
        match storage.set_aside(digest, identity) {
            Ok(true) => {
                self.count(|counters| &counters.damaged_set_aside);
                tracing::error!(%digest, bytes = identity.size, "stored content is damaged and was set aside; push the images that need it again");
                Ok(())
            }
            Ok(false) => Ok(()),
            // It is not served either way: every process finds the damage at its first read.
            Err(error @ (StorageError::ReadOnly { .. } | StorageError::OutOfSpace { .. })) => {
                tracing::error!(%digest, %error, "stored content is damaged and cannot be set aside");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a blob. A small one is verified here; a damaged one is set aside and not there. Blocks.
    pub(super) fn verified_open(
        &self,
        storage: &Storage,
        digest: &Digest,
        blob: BlobFile,
    ) -> Result<Option<BlobFile>, StorageError> {
        let is_small = blob.identity.size <= SMALL && !self.is_proven(digest, &blob.identity);
        if is_small && let Some(read) = self.first_read(digest, &blob.identity) {
            read.finish(&blob.file).map_err(|source| StorageError::Io {
                operation: "read",
                path: storage.directory().to_path_buf(),
                source,
            })?;
            if read.verdict() == Some(Verdict::Right) {
                self.prove(digest, blob.identity);
                return Ok(Some(blob));
            }
            return match self.examine(storage, &blob.stored_as)? {
                // The sha512 alias of registry:2 leads to other content; or the first look was wrong, not the file.
                Verdict::Right if blob.stored_as == *digest => Ok(Some(blob)),
                Verdict::Right | Verdict::Damaged => Ok(None),
            };
        }
        if self.is_doubtful(&blob.stored_as, &blob.identity)
            && self.examine(storage, &blob.stored_as)? == Verdict::Damaged
        {
            return Ok(None);
        }
        Ok(Some(blob))
    }
}

/// Reads stored content whole, and once more when it is wrong: a failure of this machine's memory must not condemn
/// it. `None` when it is not there.
pub(super) fn read_until_sure(
    storage: &Storage,
    digest: &Digest,
    pace: &mut dyn FnMut(usize) -> Result<(), StorageError>,
) -> Result<Option<(FileIdentity, Verdict)>, StorageError> {
    let mut wrong: Option<FileIdentity> = None;
    loop {
        match storage.check_content(digest, pace) {
            Err(StorageError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
            Ok((identity, true)) => return Ok(Some((identity, Verdict::Right))),
            Ok((identity, false)) if wrong == Some(identity) => {
                return Ok(Some((identity, Verdict::Damaged)));
            }
            // Another file than before when a push came between: that one is read twice as well.
            Ok((identity, false)) => wrong = Some(identity),
        }
    }
}

pub(super) fn is_empty(digest: &Digest) -> bool {
    Digest::of(digest.algorithm(), b"") == *digest
}
