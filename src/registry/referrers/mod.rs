//! Referrers: the manifests that name another as their subject.

mod export;
mod subjects;

use std::collections::BTreeMap;

pub use export::{ExportOutcome, ExportedTag};
pub(super) use subjects::SubjectCache;

use super::{
    Page, Registry, RegistryError,
    blocking::Work,
    manifests::{BoundedCache, CachedManifest, find_manifest},
};
use crate::{
    oci::{Digest, Reference, RepositoryName, Tag},
    storage::{Storage, StorageError},
};

/// Most bytes of annotations and fixed parts in one page. Clients read 4 MiB, and some never ask for a second.
const PAGE_BYTES: usize = 3 << 20;

/// An entry of the listing (distribution specification, Listing Referrers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Type of the referring manifest.
    pub media_type: &'static str,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its artifact type, or the type of its configuration.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Referrer {
    fn new(digest: Digest, cached: &CachedManifest) -> Self {
        Self {
            media_type: cached.manifest.kind.media_type(),
            digest,
            size: cached.bytes.len() as u64,
            artifact_type: cached.manifest.effective_artifact_type().map(str::to_owned),
            annotations: cached.manifest.annotations.clone(),
        }
    }

    /// About how many bytes it takes in JSON.
    fn weight(&self) -> usize {
        let annotations: usize =
            self.annotations.iter().map(|(key, value)| key.len() + value.len() + 6).sum();
        256 + annotations + self.artifact_type.as_ref().map_or(0, String::len)
    }
}

impl Registry {
    /// The manifests of a repository that name `subject`, in the order of their digests, after `last`, of one
    /// artifact type if named. Empty when there are none, even if there is no such subject or repository.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Result<Page<Referrer>, RegistryError> {
        let (name, subject, cache) = (repository.clone(), subject.clone(), self.inner.manifests.clone());
        let (artifact_type, last) = (artifact_type.map(str::to_owned), last.cloned());
        let wanted = subject.clone();
        let known = self
            .subjects(repository, subjects::PATIENCE, move |subjects| {
                let naming = subjects.iter().filter(|(_, named)| named.as_ref() == Some(&wanted));
                naming.map(|(digest, _)| digest.clone()).collect::<Vec<_>>()
            })
            .await?;
        let list = move |storage: &Storage| {
            let mut page = Page { items: Vec::new(), more: false };
            let mut weight = 0;
            for digest in candidates(storage, &cache, &name, &subject, known)? {
                if last.as_ref().is_some_and(|last| digest <= *last) {
                    continue;
                }
                let Some((digest, cached)) =
                    find_manifest(storage, &cache, &name, &Reference::Digest(digest))?
                else {
                    continue;
                };
                let referrer = Referrer::new(digest, &cached);
                if artifact_type.is_some() && referrer.artifact_type != artifact_type {
                    continue;
                }
                weight += referrer.weight();
                if weight > PAGE_BYTES && !page.items.is_empty() {
                    page.more = true;
                    break;
                }
                page.items.push(referrer);
            }
            Ok(page)
        };
        self.storage(Work::Lookup, list).await
    }
}

/// The recorded referrers, those known from their own bytes, and those that a client listed in the fallback tag
/// `<algorithm>-<hex>` while the volume was served by a registry without this API (specification, Enabling the
/// Referrers API).
fn candidates(
    storage: &Storage,
    cache: &BoundedCache,
    repository: &RepositoryName,
    subject: &Digest,
    known: Vec<Digest>,
) -> Result<Vec<Digest>, StorageError> {
    let mut digests = storage.list_referrers(repository, subject)?;
    digests.extend(known);
    if let Some(tag) = fallback_tag(subject)
        && let Some((_, index)) = find_manifest(storage, cache, repository, &Reference::Tag(tag))?
    {
        digests.extend(index.manifest.manifests.iter().map(|entry| entry.digest.clone()));
    }
    digests.sort_unstable();
    digests.dedup();
    Ok(digests)
}

/// The referrers tag of a digest: colon replaced, at most 128 characters.
fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let mut text = subject.as_str().replace(':', "-");
    text.truncate(Tag::MAX_LENGTH);
    text.parse().ok()
}
