//! What a person wants to know of a manifest, made once and kept on the volume: it can never change.
//!
//! A summary is made a second after a push (`journal`), or when a page first wants it, and then read by every server.
//! It is of the content alone, but only shown for a repository that has it.

use std::sync::Arc;

use moka::sync::Cache;

use super::{
    Registry, RegistryError,
    blocking::Work,
    image_summary::{ImageSummary, MAX_CONFIG, SummaryKind},
    manifests::{BoundedCache, find_manifest},
};
use crate::{
    oci::{Digest, Manifest, Reference, RepositoryName},
    storage::{Storage, StorageError},
};

/// Deepest nesting of indexes followed.
const DEPTH: usize = 3;

/// Summaries by digest, bounded by their size.
#[derive(Clone)]
pub(super) struct SummaryCache(Cache<Digest, Arc<ImageSummary>>);

impl SummaryCache {
    pub(super) fn new(bytes: u64) -> Self {
        let weight =
            |_: &Digest, summary: &Arc<ImageSummary>| u32::try_from(summary.weight()).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(bytes).weigher(weight).build())
    }
}

impl Registry {
    /// The summary of a manifest of a repository.
    pub async fn image_summary(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Arc<ImageSummary>, RegistryError> {
        let (name, wanted, summarizer) = (repository.clone(), digest.clone(), self.summarizer());
        let look = move |storage: &Storage| {
            if !storage.has_manifest(&name, &wanted)? {
                return Ok(None);
            }
            summarizer.summarize(storage, &name, &wanted)
        };
        let summary = self.storage(Work::Lookup, look).await?;
        summary.ok_or_else(|| RegistryError::ManifestUnknown(Reference::Digest(digest.clone())))
    }

    /// Throws all summaries away and makes them anew, one repository after the other.
    pub async fn remake_summaries(&self) -> Result<Remade, RegistryError> {
        self.storage(Work::Write, Storage::remove_summaries).await?;
        let names = self.storage(Work::Write, |storage| storage.list_repositories(None, usize::MAX)).await?;
        let mut done = Remade::default();
        for name in names {
            done.repositories += 1;
            let summarizer = self.summarizer();
            let make = move |storage: &Storage| {
                let (mut made, mut unreadable) = (0, 0);
                for digest in storage.list_manifests(&name)? {
                    if storage.has_manifest(&name, &digest)? {
                        match summarizer.summarize(storage, &name, &digest)? {
                            Some(_) => made += 1,
                            None => unreadable += 1,
                        }
                    }
                }
                Ok((made, unreadable))
            };
            let (made, unreadable) = self.storage(Work::Write, make).await?;
            done.made += made;
            done.unreadable += unreadable;
        }
        Ok(done)
    }

    /// How often content was opened for reading since the start; pages read none that they have a summary for.
    pub fn content_reads(&self) -> u64 {
        self.inner.storage.content_reads()
    }

    pub(super) fn summarizer(&self) -> Summarizer {
        Summarizer {
            manifests: self.inner.manifests.clone(),
            summaries: self.inner.summaries.clone(),
            sparse: self.inner.config.sparse_manifests,
        }
    }
}

/// What [`Registry::remake_summaries`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remade {
    /// Repositories looked at.
    pub repositories: u64,
    /// Manifests that have a summary now.
    pub made: u64,
    /// Manifests that could not be read.
    pub unreadable: u64,
}

/// Makes summaries, and keeps them.
#[derive(Clone)]
pub(super) struct Summarizer {
    manifests: Arc<BoundedCache>,
    summaries: SummaryCache,
    /// Whether manifests may name what their repository does not have.
    sparse: bool,
}

impl Summarizer {
    /// The summary of a manifest that the repository is known to have.
    pub(super) fn summarize(
        &self,
        storage: &Storage,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Arc<ImageSummary>>, StorageError> {
        Ok(self.seen_from(storage, repository, digest, DEPTH)?.map(|(summary, _)| summary))
    }

    /// The summary as a repository may show it, and whether it is of the whole.
    fn seen_from(
        &self,
        storage: &Storage,
        repository: &RepositoryName,
        digest: &Digest,
        depth: usize,
    ) -> Result<Option<(Arc<ImageSummary>, bool)>, StorageError> {
        let Some((summary, complete)) = self.at_depth(storage, repository, digest, depth)? else {
            return Ok(None);
        };
        // It may have been made for a repository that has all that the manifest names: of what another one has and this
        // one has not, nothing is shown here.
        if !complete || self.has_parts(storage, repository, &summary, depth)? {
            return Ok(Some((summary, complete)));
        }
        let made = self.make(storage, repository, digest, depth)?;
        Ok(made.map(|(summary, _)| (Arc::new(summary), false)))
    }

    /// Whether a repository has what a summary tells of, and what the parts of that tell of.
    fn has_parts(
        &self,
        storage: &Storage,
        repository: &RepositoryName,
        summary: &ImageSummary,
        depth: usize,
    ) -> Result<bool, StorageError> {
        if let SummaryKind::Index(facts) = &summary.kind {
            for child in facts.children.iter().filter(|child| child.compressed_size.is_some()) {
                if !storage.has_manifest(repository, &child.digest)? {
                    return Ok(false);
                }
                // In the size of an index are those of its own parts; what it is says only itself.
                if let Some(depth) = depth.checked_sub(1)
                    && let Some((part, _)) = self.at_depth(storage, repository, &child.digest, depth)?
                    && !self.has_parts(storage, repository, &part, depth)?
                {
                    return Ok(false);
                }
            }
        }
        // Blobs cannot be missing unless the registry takes manifests without them.
        for (blob, _) in summary.blobs.iter().filter(|_| self.sparse) {
            if storage.blob_size(repository, blob)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn at_depth(
        &self,
        storage: &Storage,
        repository: &RepositoryName,
        digest: &Digest,
        depth: usize,
    ) -> Result<Option<(Arc<ImageSummary>, bool)>, StorageError> {
        if let Some(summary) = self.summaries.0.get(digest) {
            return Ok(Some((summary, true)));
        }
        if let Some(summary) = read_kept(storage, digest)? {
            let summary = Arc::new(summary);
            self.summaries.0.insert(digest.clone(), summary.clone());
            return Ok(Some((summary, true)));
        }
        let Some((summary, complete)) = self.make(storage, repository, digest, depth)? else {
            return Ok(None);
        };
        let summary = Arc::new(summary);
        // What a repository lacks today another one has, or this one tomorrow: only the whole is remembered.
        let is_cut = depth == 0 && matches!(summary.kind, SummaryKind::Index(_));
        if complete && !is_cut {
            self.summaries.0.insert(digest.clone(), summary.clone());
            keep(storage, &summary);
        }
        Ok(Some((summary, complete)))
    }

    /// Makes a summary, and says whether the repository has all that it should tell of.
    fn make(
        &self,
        storage: &Storage,
        repository: &RepositoryName,
        digest: &Digest,
        depth: usize,
    ) -> Result<Option<(ImageSummary, bool)>, StorageError> {
        let reference = Reference::Digest(digest.clone());
        let Some((_, cached)) = find_manifest(storage, &self.manifests, repository, &reference)? else {
            return Ok(None);
        };
        let (manifest, size) = (&cached.manifest, cached.bytes.len() as u64);
        if manifest.kind.is_index() {
            let (mut children, mut complete) = (Vec::new(), true);
            for child in manifest.manifests.iter().filter(|_| depth > 0) {
                let part = if storage.has_manifest(repository, &child.digest)? {
                    self.seen_from(storage, repository, &child.digest, depth - 1)?
                } else {
                    None
                };
                complete &= part.as_ref().is_some_and(|(_, complete)| *complete);
                children.extend(part.map(|(summary, _)| summary));
            }
            return Ok(Some((ImageSummary::of_index(digest.clone(), manifest, size, &children), complete)));
        }
        let config = read_config(storage, repository, manifest)?;
        let bytes = if let Config::Read(bytes) = &config { Some(bytes.as_slice()) } else { None };
        let summary = ImageSummary::of_image(digest.clone(), manifest, size, bytes);
        Ok(Some((summary, !matches!(config, Config::Missing))))
    }
}

/// What became of reading the configuration of an image.
enum Config {
    Read(Vec<u8>),
    /// It is too large, and will be.
    TooLarge,
    /// It is not there, or damaged: it may come back.
    Missing,
}

fn read_config(
    storage: &Storage,
    repository: &RepositoryName,
    manifest: &Manifest,
) -> Result<Config, StorageError> {
    let Some(config) = &manifest.config else { return Ok(Config::TooLarge) };
    match storage.blob_size(repository, &config.digest)? {
        None => return Ok(Config::Missing),
        Some(size) if size > MAX_CONFIG => return Ok(Config::TooLarge),
        Some(_) => {}
    }
    match storage.read_content(&config.digest, MAX_CONFIG) {
        Err(StorageError::Damaged(_)) => Ok(Config::Missing),
        result => Ok(result?.map_or(Config::Missing, Config::Read)),
    }
}

/// The summary on the volume, if it can be read and is of this manifest.
fn read_kept(storage: &Storage, digest: &Digest) -> Result<Option<ImageSummary>, StorageError> {
    let Some(bytes) = storage.read_summary(digest)? else { return Ok(None) };
    let summary: Option<ImageSummary> = serde_json::from_slice(&bytes).ok();
    Ok(summary.filter(|summary| summary.digest == *digest))
}

/// Keeps a summary. On a volume that cannot be written it is made again by the next process.
fn keep(storage: &Storage, summary: &ImageSummary) {
    let kept = serde_json::to_vec(summary)
        .map_err(|error| error.to_string())
        .and_then(|bytes| storage.write_summary(&summary.digest, &bytes).map_err(|error| error.to_string()));
    if let Err(error) = kept {
        tracing::debug!(error, "a summary could not be kept");
    }
}
