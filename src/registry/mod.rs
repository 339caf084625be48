//! What a registry does: the rules of the OCI distribution and image specifications, in domain words.
//!
//! Knows manifests and what they refer to; knows nothing of HTTP, and does not ask who the caller is: callers
//! authorise first. Nothing it remembers is needed for correctness, since other servers work on the same volume:
//! only content, which its digest makes immutable, is kept in memory.

mod blob_reader;
mod block_buffers;
mod blobs;
mod blocking;
mod counters;
mod delete_manifest;
mod error;
mod held_upload;
pub mod image_summary;
mod integrity;
mod job_queue;
mod journal;
mod listings;
mod manifests;
mod overview;
mod put_manifest;
mod referrers;
mod summaries;
mod upload_writer;
mod uploads;
pub mod verification;
mod volume_watch;

use std::{sync::Arc, time::Duration};

pub use blob_reader::BlobReader;
pub use counters::Counters;
pub use delete_manifest::Deletion;
pub use error::{BodyError, RegistryError};
pub use image_summary::ImageSummary;
pub use journal::{Action, JournalEntry};
pub use listings::Page;
pub use manifests::{MovedTag, PutManifestOutcome, StoredManifest};
pub use overview::{
    Catalogue, CatalogueOrder, CatalogueRow, CatalogueTotals, Known, LayerUse, ManifestKindView,
    ManifestView, Missing, Namespace, Namespaces, RepositoryBytes, RepositoryView, StorageReport, TagOrder,
    TagView,
};
pub use referrers::{ExportOutcome, ExportedTag, Referrer};
pub use summaries::Remade;
pub use volume_watch::VolumeStatus;

use block_buffers::BufferPool;
use blocking::{Blocking, Work};
use integrity::Integrity;
use journal::Journal;
use manifests::ManifestCache;
use overview::Overviews;
use referrers::SubjectCache;
use summaries::SummaryCache;
use volume_watch::VolumeWatch;

use crate::storage::{Storage, StorageError};

/// Limits and switches of a registry.
#[derive(Clone, Debug)]
pub struct Config {
    /// Largest manifest accepted, in bytes. Clients read at least 4 MiB.
    pub manifest_size_limit: usize,
    /// Accept manifests that name layers or images which are not in the repository.
    pub sparse_manifests: bool,
    /// Accept deletion of tags, manifests and blobs.
    pub delete_enabled: bool,
    /// Calls on the volume at once, of each of three kinds.
    pub volume_calls: usize,
    /// How long one call on the volume may take; ten times this for a write.
    pub volume_deadline: Duration,
    /// Manifests remembered, in bytes of their content.
    pub manifest_cache_size: u64,
    /// Memory for what pages show of all repositories, in bytes.
    pub overview_size: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            manifest_size_limit: 4 << 20,
            sparse_manifests: false,
            delete_enabled: true,
            volume_calls: 64,
            volume_deadline: Duration::from_secs(30),
            manifest_cache_size: 8 << 20,
            overview_size: 128 << 20,
        }
    }
}

/// A registry over a volume. Cloning is cheap: clones are the same registry.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Arc<Storage>,
    config: Config,
    watch: VolumeWatch,
    blocking: Blocking,
    buffers: BufferPool,
    integrity: Integrity,
    manifests: ManifestCache,
    summaries: SummaryCache,
    subjects: SubjectCache,
    journal: Journal,
    overviews: Overviews,
}

impl Registry {
    /// A registry over `storage`.
    pub fn new(storage: Storage, config: Config) -> Self {
        let watch = VolumeWatch::new(storage.keep_free());
        let integrity = Integrity::new();
        let inner = Inner {
            storage: Arc::new(storage),
            blocking: Blocking::new(config.volume_calls, config.volume_deadline, watch.clone()),
            watch,
            buffers: BufferPool::default(),
            manifests: manifests::BoundedCache::new(config.manifest_cache_size, integrity.clone()),
            integrity,
            summaries: SummaryCache::new(config.manifest_cache_size),
            subjects: SubjectCache::new(config.manifest_cache_size),
            journal: Journal::new(),
            overviews: Overviews::new(config.overview_size),
            config,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Limits and switches.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// What was counted since the process started.
    pub fn counters(&self) -> &Arc<Counters> {
        self.inner.integrity.counters()
    }

    /// Whether the volume answers and can be written. A full one counts as ready: pulls, deletes and sign-ins go on,
    /// and no other server of the volume would do better.
    pub async fn check_ready(&self) -> Result<(), RegistryError> {
        match self.storage(Work::Lookup, Storage::check_writable).await {
            Err(RegistryError::OutOfSpace(_)) => Ok(()),
            result => result,
        }
    }

    /// A secret that all servers of the volume share; see [`Storage::shared_secret`]. Blocks.
    pub fn shared_secret(&self, name: &str) -> Result<[u8; 32], StorageError> {
        self.inner.storage.shared_secret(name)
    }

    fn require_delete(&self) -> Result<(), RegistryError> {
        if self.inner.config.delete_enabled { Ok(()) } else { Err(RegistryError::DeleteDisabled) }
    }

    /// Does something on the volume, its errors as ours.
    async fn storage<T: Send + 'static>(
        &self,
        work: Work,
        operation: impl FnOnce(&Storage) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        Ok(self.storage_result(work, operation).await??)
    }

    /// Changes something on the volume. What outlives its deadline is done all the same, since nobody can stop it: then
    /// `late` is told what came of it, on a thread that may block, so that it can be noted.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Storage) -> T + Send + 'static,
        late: impl FnOnce(T) + Send + 'static,
    ) -> Result<T, RegistryError> {
        let storage = self.inner.storage.clone();
        self.inner.blocking.run_or_undo(Work::Write, move || change(&storage), late).await
    }

    /// The same where it can fail, which is noted whenever it ends; `late` is told of what was done.
    async fn change_result<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Storage) -> Result<T, StorageError> + Send + 'static,
        late: impl FnOnce(T) + Send + 'static,
    ) -> Result<Result<T, StorageError>, RegistryError> {
        let watch = self.inner.watch.clone();
        let change = move |storage: &Storage| change(storage).inspect_err(|error| watch.note(error));
        self.change(change, |result| drop(result.map(late))).await
    }

    /// Does something on the volume, its result as it is.
    async fn storage_result<T: Send + 'static>(
        &self,
        work: Work,
        operation: impl FnOnce(&Storage) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<Result<T, StorageError>, RegistryError> {
        let storage = self.inner.storage.clone();
        let result = self.inner.blocking.run(work, move || operation(&storage)).await?;
        if let Err(error) = &result {
            self.inner.watch.note(error);
        }
        Ok(result)
    }
}
