//! Manifests: stored and served exactly as received, once all they need is there.

use std::sync::Arc;

use bytes::Bytes;
use moka::sync::Cache;

use super::{
    Registry, RegistryError,
    blocking::Work,
    integrity::{Integrity, Verdict},
    put_manifest::PutManifest,
};
use crate::{
    oci::{Digest, Manifest, Reference, RepositoryName, Tag},
    storage::{FileIdentity, Storage, StorageError, TagLink},
};

/// Largest manifest read back, in bytes: a volume filled under a higher limit is still served.
pub(super) const READ_LIMIT: u64 = 64 << 20;

/// Tags whose manifests are known to be there, at about 300 bytes each.
const REMEMBERED_TAGS: u64 = 10_000;

/// A manifest as it is served.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its type, without parameters.
    pub media_type: &'static str,
    /// Its bytes as received.
    pub bytes: Bytes,
}

/// What storing a manifest did.
#[derive(Debug)]
pub struct PutManifestOutcome {
    /// Its digest.
    pub digest: Digest,
    /// The manifest it refers to, which was recorded.
    pub subject: Option<Digest>,
    /// The tags that name it now and named something else before, or nothing.
    pub moved: Vec<MovedTag>,
    /// Why it was not all done, when a tag was moved before that.
    pub failure: Option<StorageError>,
}

/// A tag that names something else than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedTag {
    /// The tag.
    pub tag: Tag,
    /// What it named before.
    pub was: Option<Digest>,
}

/// Manifests by digest: immutable, so never stale. Whether a repository has one is asked of the volume.
pub(super) type ManifestCache = Arc<BoundedCache>;

/// See [`ManifestCache`].
pub(super) struct BoundedCache {
    cache: Cache<Digest, Arc<CachedManifest>>,
    /// The file of a tag whose manifest was seen to be in the repository after the file had been read. As long as the
    /// tag is that file it still is: see [`TagLink::file`].
    tagged: Cache<(RepositoryName, Tag), FileIdentity>,
    integrity: Integrity,
}

/// A manifest's bytes with what was read of them.
#[derive(Debug)]
pub(super) struct CachedManifest {
    pub(super) bytes: Bytes,
    pub(super) manifest: Manifest,
}

impl BoundedCache {
    pub(super) fn new(bytes: u64, integrity: Integrity) -> Arc<Self> {
        let weight = |_: &Digest, cached: &Arc<CachedManifest>| {
            u32::try_from(cached.bytes.len() + 1024).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(bytes).weigher(weight).build();
        let tagged = Cache::new(REMEMBERED_TAGS);
        Arc::new(Self { cache, tagged, integrity })
    }

    /// Reads a stored manifest, from memory when it was read before. `None` when it is not stored, or damaged,
    /// which is logged: it is set aside and answers 404 then, and the next push heals it.
    pub(super) fn load(
        &self,
        storage: &Storage,
        digest: &Digest,
    ) -> Result<Option<Arc<CachedManifest>>, StorageError> {
        if let Some(cached) = self.cache.get(digest) {
            return Ok(Some(cached));
        }
        let bytes = match storage.read_content(digest, READ_LIMIT) {
            Err(StorageError::Damaged(digest)) => {
                if self.integrity.examine(storage, &digest)? == Verdict::Damaged {
                    return Ok(None);
                }
                // It was this machine's memory; or it is larger than any manifest.
                storage.read_content(&digest, READ_LIMIT).or_else(damaged_is_absent)?
            }
            result => result?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        // A blob that is no manifest is asked for as one: not there.
        let Ok(manifest) = Manifest::parse(&bytes, None) else { return Ok(None) };
        let cached = Arc::new(CachedManifest { bytes: bytes.into(), manifest });
        self.integrity.expect_sizes(&cached.manifest);
        self.cache.insert(digest.clone(), cached.clone());
        Ok(Some(cached))
    }
}

fn damaged_is_absent(error: StorageError) -> Result<Option<Vec<u8>>, StorageError> {
    if matches!(error, StorageError::Damaged(_)) { Ok(None) } else { Err(error) }
}

impl Registry {
    /// A manifest by tag or digest. What a tag names is asked of the volume each time.
    pub async fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, RegistryError> {
        let (name, wanted, cache) = (repository.clone(), reference.clone(), self.inner.manifests.clone());
        let found =
            self.storage(Work::Lookup, move |storage| find_manifest(storage, &cache, &name, &wanted)).await?;
        let (digest, cached) = found.ok_or_else(|| RegistryError::ManifestUnknown(reference.clone()))?;
        Ok(StoredManifest {
            digest,
            media_type: cached.manifest.kind.media_type(),
            bytes: cached.bytes.clone(),
        })
    }

    /// Stores a manifest, makes it exist in the repository, records its subject, and points tags at it: the tag of
    /// `reference`, if it is one, and `tags`. In this order, each durable before the next. `late` is told what came of
    /// a push that is done after the deadline.
    ///
    /// # Errors
    /// `DigestMismatch`, `ManifestInvalid`, `ManifestTooLarge`, `ManifestBlobUnknown`; nothing is visible then. After
    /// those of the volume no tag was moved: see [`PutManifestOutcome::failure`].
    pub async fn put_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        tags: &[Tag],
        content_type: Option<&str>,
        bytes: Bytes,
        late: impl FnOnce(PutManifestOutcome) + Send + 'static,
    ) -> Result<PutManifestOutcome, RegistryError> {
        let limit = self.inner.config.manifest_size_limit;
        if bytes.len() > limit {
            return Err(RegistryError::ManifestTooLarge { limit });
        }
        let put = PutManifest {
            config: self.inner.config.clone(),
            integrity: self.inner.integrity.clone(),
            repository: repository.clone(),
            reference: reference.clone(),
            tags: tags.to_vec(),
            content_type: content_type.map(str::to_owned),
            bytes,
        };
        let (registry, name) = (self.clone(), repository.clone());
        let put = move |storage: &Storage| {
            let result = put.run(storage);
            registry.note_put(&name, &result);
            result
        };
        self.change(put, |result| drop(result.map(late))).await?
    }

    /// What a push means for the rest of the server.
    fn note_put(&self, repository: &RepositoryName, result: &Result<PutManifestOutcome, RegistryError>) {
        match result {
            Ok(outcome) => {
                let tags = outcome.moved.iter().map(|moved| &moved.tag);
                self.inner.overviews.touch(repository, tags, [&outcome.digest]);
                if let Some(error) = &outcome.failure {
                    self.inner.watch.note(error);
                }
            }
            Err(
                RegistryError::OutOfSpace(error)
                | RegistryError::ReadOnly(error)
                | RegistryError::Storage(error),
            ) => self.inner.watch.note(error),
            Err(_) => {}
        }
    }

    /// Removes a tag; the manifest stays. Returns what it named, when that could be read. `late` is told the same when
    /// it is removed after the deadline.
    pub async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        late: impl FnOnce(Option<Digest>) + Send + 'static,
    ) -> Result<Option<Digest>, RegistryError> {
        let (name, wanted) = (repository.clone(), tag.clone());
        let take = move |storage: &Storage| storage.take_tag(&name, &wanted);
        let late = |taken: Option<Option<Digest>>| {
            if let Some(was) = taken {
                late(was);
            }
        };
        let taken = self.untag(repository, tag, take, late).await?;
        taken.ok_or_else(|| RegistryError::ManifestUnknown(Reference::Tag(tag.clone())))
    }

    /// Removes a tag if it names `digest` still. Says whether it did. `late` is told when it did after the deadline.
    pub async fn delete_tag_if(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        late: impl FnOnce() + Send + 'static,
    ) -> Result<bool, RegistryError> {
        let (name, wanted, digest) = (repository.clone(), tag.clone(), digest.clone());
        let take = move |storage: &Storage| storage.delete_tag_if(&name, &wanted, &digest);
        self.untag(repository, tag, take, |is_taken| {
            if is_taken {
                late();
            }
        })
        .await
    }

    async fn untag<T: Send + 'static>(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        take: impl FnOnce(&Storage) -> Result<T, StorageError> + Send + 'static,
        late: impl FnOnce(T) + Send + 'static,
    ) -> Result<T, RegistryError> {
        self.require_delete()?;
        let (registry, name, tag) = (self.clone(), repository.clone(), tag.clone());
        let take = move |storage: &Storage| {
            let taken = take(storage);
            registry.inner.overviews.touch(&name, [&tag], None);
            taken
        };
        Ok(self.change_result(take, late).await??)
    }

    /// What a reference names in a repository now, without reading it.
    pub async fn resolve(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Digest, RegistryError> {
        let (name, wanted) = (repository.clone(), reference.clone());
        let look = move |storage: &Storage| {
            let digest = match wanted {
                Reference::Digest(digest) => Some(digest),
                Reference::Tag(tag) => storage.read_tag(&name, &tag)?,
            };
            match digest {
                Some(digest) if storage.has_manifest(&name, &digest)? => Ok(Some(digest)),
                _ => Ok(None),
            }
        };
        let found = self.storage(Work::Lookup, look).await?;
        found.ok_or_else(|| RegistryError::ManifestUnknown(reference.clone()))
    }
}

pub(super) fn find_manifest(
    storage: &Storage,
    cache: &BoundedCache,
    repository: &RepositoryName,
    reference: &Reference,
) -> Result<Option<(Digest, Arc<CachedManifest>)>, StorageError> {
    let tag = match reference {
        Reference::Digest(digest) => return load_linked(storage, cache, repository, digest),
        Reference::Tag(tag) => tag,
    };
    let mut named = storage.read_tag_link(repository, tag)?;
    while let Some(link) = named {
        let found = load_tagged(storage, cache, repository, tag, &link)?;
        if found.is_some() {
            return Ok(found);
        }
        // Between the two looks the tag may have been moved, and what it named before been deleted: that is no
        // absence of the tag.
        named = storage.read_tag_link(repository, tag)?.filter(|again| again.digest != link.digest);
    }
    Ok(None)
}

/// The manifest of a tag that was just read.
fn load_tagged(
    storage: &Storage,
    cache: &BoundedCache,
    repository: &RepositoryName,
    tag: &Tag,
    link: &TagLink,
) -> Result<Option<(Digest, Arc<CachedManifest>)>, StorageError> {
    let key = (repository.clone(), tag.clone());
    let is_known = link.file.is_some() && cache.tagged.get(&key) == link.file;
    if is_known {
        return Ok(cache.load(storage, &link.digest)?.map(|cached| (link.digest.clone(), cached)));
    }
    let found = load_linked(storage, cache, repository, &link.digest)?;
    if let (Some(file), Some(_)) = (link.file, &found) {
        cache.tagged.insert(key, file);
    }
    Ok(found)
}

fn load_linked(
    storage: &Storage,
    cache: &BoundedCache,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<(Digest, Arc<CachedManifest>)>, StorageError> {
    if !storage.has_manifest(repository, digest)? {
        return Ok(None);
    }
    Ok(cache.load(storage, digest)?.map(|cached| (digest.clone(), cached)))
}
