//! What a person wants to know of a manifest, made once and remembered: it can never change.

use std::{sync::Arc, time::SystemTime};

use moka::sync::Cache;

use super::{
    Registry, RegistryError,
    blocking::Work,
    image_summary::ImageSummary,
    manifests::{BoundedCache, find_manifest},
};
use crate::{
    oci::{Digest, Manifest, Reference, RepositoryName, Tag},
    storage::{Storage, StorageError},
};

/// Largest configuration read for a summary, in bytes; of a larger one nothing is shown.
const CONFIG_LIMIT: u64 = 1 << 20;

/// Deepest nesting of indexes followed.
const DEPTH: usize = 3;

/// A tag and what it names.
#[derive(Clone, Debug)]
pub struct TagDetail {
    /// The tag.
    pub tag: Tag,
    /// What it names.
    pub digest: Digest,
    /// When it was last written, by the clock of the file server.
    pub pushed: SystemTime,
    /// What that is; `None` when it cannot be read.
    pub summary: Option<Arc<ImageSummary>>,
}

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
    /// Details of some tags of a repository; a tag that vanished meanwhile is left out.
    pub async fn tag_details(
        &self,
        repository: &RepositoryName,
        tags: &[Tag],
    ) -> Result<Vec<TagDetail>, RegistryError> {
        let (name, tags, summarizer) = (repository.clone(), tags.to_vec(), self.summarizer());
        let look = move |storage: &Storage| {
            let mut details = Vec::with_capacity(tags.len());
            for tag in tags {
                if let Some(link) = storage.read_tag_link(&name, &tag)? {
                    let summary = summarizer.summarize(storage, &name, &link.digest, DEPTH)?;
                    details.push(TagDetail { tag, digest: link.digest, pushed: link.written, summary });
                }
            }
            Ok(details)
        };
        self.storage(Work::Lookup, look).await
    }

    /// The summary of a manifest of a repository.
    pub async fn image_summary(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Arc<ImageSummary>, RegistryError> {
        let (name, wanted, summarizer) = (repository.clone(), digest.clone(), self.summarizer());
        let look = move |storage: &Storage| summarizer.summarize(storage, &name, &wanted, DEPTH);
        let summary = self.storage(Work::Lookup, look).await?;
        summary.ok_or_else(|| RegistryError::ManifestUnknown(Reference::Digest(digest.clone())))
    }

    fn summarizer(&self) -> Summarizer {
        Summarizer { manifests: self.inner.manifests.clone(), summaries: self.inner.summaries.clone() }
    }
}

struct Summarizer {
    manifests: Arc<BoundedCache>,
    summaries: SummaryCache,
}

impl Summarizer {
    /// A summary is of the content alone, but only shown for a repository that has it.
    fn summarize(
        &self,
        storage: &Storage,
        repository: &RepositoryName,
        digest: &Digest,
        depth: usize,
    ) -> Result<Option<Arc<ImageSummary>>, StorageError> {
        if let Some(summary) = self.summaries.0.get(digest) {
            return Ok(storage.has_manifest(repository, digest)?.then_some(summary));
        }
        let reference = Reference::Digest(digest.clone());
        let Some((_, cached)) = find_manifest(storage, &self.manifests, repository, &reference)? else {
            return Ok(None);
        };
        let (manifest, size) = (&cached.manifest, cached.bytes.len() as u64);
        let (summary, complete) = if manifest.kind.is_index() {
            let children = self.children(storage, repository, manifest, depth)?;
            let complete = children.len() == manifest.manifests.len();
            (ImageSummary::of_index(digest.clone(), manifest, size, &children), complete)
        } else {
            let config = read_config(storage, repository, manifest)?;
            (ImageSummary::of_image(digest.clone(), manifest, size, config.as_deref()), config.is_some())
        };
        let summary = Arc::new(summary);
        // What a repository lacks today another one has, or this one tomorrow: only the whole is remembered.
        if complete {
            self.summaries.0.insert(digest.clone(), summary.clone());
        }
        Ok(Some(summary))
    }

    fn children(
        &self,
        storage: &Storage,
        repository: &RepositoryName,
        index: &Manifest,
        depth: usize,
    ) -> Result<Vec<Arc<ImageSummary>>, StorageError> {
        let mut children = Vec::new();
        if depth > 0 {
            for child in &index.manifests {
                children.extend(self.summarize(storage, repository, &child.digest, depth - 1)?);
            }
        }
        Ok(children)
    }
}

fn read_config(
    storage: &Storage,
    repository: &RepositoryName,
    manifest: &Manifest,
) -> Result<Option<Vec<u8>>, StorageError> {
    let Some(config) = &manifest.config else { return Ok(None) };
    if storage.blob_size(repository, &config.digest)?.is_none_or(|size| size > CONFIG_LIMIT) {
        return Ok(None);
    }
    match storage.read_content(&config.digest, CONFIG_LIMIT) {
        Err(StorageError::Damaged(_)) => Ok(None),
        result => result,
    }
}
