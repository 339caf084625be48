//! Manifests: stored and served exactly as received, once all they need is there.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use moka::sync::Cache;

use super::{
    Config, Registry, RegistryError,
    blocking::Work,
    integrity::{Integrity, Verdict},
};
use crate::{
    oci::{Algorithm, Descriptor, Digest, Manifest, Reference, RepositoryName, Tag},
    storage::{Storage, StorageError},
};

/// Largest manifest read back, in bytes: a volume filled under a higher limit is still served.
pub(super) const READ_LIMIT: u64 = 64 << 20;

/// How often a push publishes again what a delete at the same time takes away.
const PUBLISH_ATTEMPTS: usize = 5;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutManifestOutcome {
    /// Its digest.
    pub digest: Digest,
    /// The manifest it refers to, which was recorded.
    pub subject: Option<Digest>,
    /// The tags that name it now because of this request.
    pub tags: Vec<Tag>,
}

/// Manifests by digest: immutable, so never stale. Whether a repository has one is asked of the volume.
pub(super) type ManifestCache = Arc<BoundedCache>;

/// See [`ManifestCache`].
pub(super) struct BoundedCache {
    cache: Cache<Digest, Arc<CachedManifest>>,
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
        Arc::new(Self { cache, integrity })
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
    /// `reference`, if it is one, and `tags`. In this order, each durable before the next.
    ///
    /// # Errors
    /// `DigestMismatch`, `ManifestInvalid`, `ManifestTooLarge`, `ManifestBlobUnknown`; nothing is visible then.
    pub async fn put_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        tags: &[Tag],
        content_type: Option<&str>,
        bytes: Bytes,
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
        let storage = self.inner.storage.clone();
        let result = self.inner.blocking.run(Work::Write, move || put.run(&storage)).await?;
        if let Err(
            RegistryError::OutOfSpace(error) | RegistryError::ReadOnly(error) | RegistryError::Storage(error),
        ) = &result
        {
            self.inner.watch.note(error);
        }
        result
    }

    /// Takes a manifest out of a repository, with every tag that names it.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        self.require_delete()?;
        let (name, wanted, cache) = (repository.clone(), digest.clone(), self.inner.manifests.clone());
        let deleted = self
            .storage(Work::Write, move |storage| delete_manifest(storage, &cache, &name, &wanted))
            .await?;
        if deleted { Ok(()) } else { Err(RegistryError::ManifestUnknown(Reference::Digest(digest.clone()))) }
    }

    /// Removes a tag; the manifest stays.
    pub async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<(), RegistryError> {
        self.require_delete()?;
        let (name, wanted) = (repository.clone(), tag.clone());
        let deleted = self.storage(Work::Write, move |storage| storage.delete_tag(&name, &wanted)).await?;
        if deleted { Ok(()) } else { Err(RegistryError::ManifestUnknown(Reference::Tag(tag.clone()))) }
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
    let mut named = storage.read_tag(repository, tag)?;
    while let Some(digest) = named {
        let found = load_linked(storage, cache, repository, &digest)?;
        if found.is_some() {
            return Ok(found);
        }
        // Between the two looks the tag may have been moved, and what it named before been deleted: that is no
        // absence of the tag.
        named = storage.read_tag(repository, tag)?.filter(|again| *again != digest);
    }
    Ok(None)
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

/// Tags first, so that a crash between leaves none that names nothing; the content stays for other repositories.
fn delete_manifest(
    storage: &Storage,
    cache: &BoundedCache,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<bool, StorageError> {
    if !storage.has_manifest(repository, digest)? {
        return Ok(false);
    }
    for tag in storage.list_tags(repository)?.unwrap_or_default() {
        storage.delete_tag_if(repository, &tag, digest)?;
    }
    let removed = storage.unlink_manifest(repository, digest)?;
    if let Some(cached) = cache.load(storage, digest)?
        && let Some(subject) = &cached.manifest.subject
    {
        storage.unlink_referrer(repository, &subject.digest, digest)?;
        // A push of the same manifest may have come between.
        if storage.has_manifest(repository, digest)? {
            storage.link_referrer(repository, &subject.digest, digest)?;
        }
    }
    if !storage.has_manifest(repository, digest)? {
        for tag in storage.list_tags(repository)?.unwrap_or_default() {
            storage.delete_tag_if(repository, &tag, digest)?;
        }
    }
    Ok(removed)
}

/// Whether a tag of the repository names the manifest.
fn is_tagged(storage: &Storage, repository: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
    for tag in storage.list_tags(repository)?.unwrap_or_default() {
        if storage.read_tag(repository, &tag)?.as_ref() == Some(digest) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A push of a manifest, checked and done in one go.
pub(super) struct PutManifest {
    pub(super) config: Config,
    pub(super) integrity: Integrity,
    pub(super) repository: RepositoryName,
    pub(super) reference: Reference,
    pub(super) tags: Vec<Tag>,
    pub(super) content_type: Option<String>,
    pub(super) bytes: Bytes,
}

impl PutManifest {
    pub(super) fn run(mut self, storage: &Storage) -> Result<PutManifestOutcome, RegistryError> {
        let digest = self.check_digest()?;
        let manifest = Manifest::parse(&self.bytes, self.content_type.as_deref())?;
        self.check_serves_alike(&manifest)?;
        self.check_references(storage, &manifest)?;
        self.settle_references(storage, &manifest)?;
        storage.write_content(&digest, &self.bytes)?;
        let was_there = storage.has_manifest(&self.repository, &digest)?;
        storage.link_manifest(&self.repository, &digest)?;
        // What it needs may have been deleted since it was looked up: then this manifest is refused, and must not
        // be seen either, unless it was acknowledged to somebody before.
        if let Err(missing) = self.check_references(storage, &manifest) {
            if !was_there && !is_tagged(storage, &self.repository, &digest)? {
                storage.unlink_manifest(&self.repository, &digest)?;
            }
            return Err(missing);
        }
        let subject = manifest.subject.map(|subject| subject.digest);
        if let Some(subject) = &subject {
            storage.link_referrer(&self.repository, subject, &digest)?;
        }
        if let Reference::Tag(tag) = &self.reference
            && !self.tags.contains(tag)
        {
            self.tags.insert(0, tag.clone());
        }
        // A delete of this very manifest may run at the same time: it hides, then looks for tags once more; this
        // publishes, then looks whether it was hidden. Whatever the order, a tag never names what is not there.
        for _ in 0..PUBLISH_ATTEMPTS {
            for tag in &self.tags {
                storage.write_tag(&self.repository, tag, &digest)?;
            }
            if storage.has_manifest(&self.repository, &digest)? {
                break;
            }
            storage.link_manifest(&self.repository, &digest)?;
            if let Some(subject) = &subject {
                storage.link_referrer(&self.repository, subject, &digest)?;
            }
        }
        Ok(PutManifestOutcome { digest, subject, tags: self.tags })
    }

    fn check_digest(&self) -> Result<Digest, RegistryError> {
        let Reference::Digest(expected) = &self.reference else {
            return Ok(Digest::of(Algorithm::Sha256, &self.bytes));
        };
        let computed = Digest::of(expected.algorithm(), &self.bytes);
        if computed == *expected {
            Ok(computed)
        } else {
            Err(RegistryError::DigestMismatch { expected: expected.clone(), computed })
        }
    }

    /// The volume keeps no media type beside a manifest, so one that has none in itself must be served with the
    /// type its content shows, and a push that declares another is refused rather than served wrong.
    fn check_serves_alike(&self, manifest: &Manifest) -> Result<(), RegistryError> {
        let served = Manifest::parse(&self.bytes, None)?;
        if served.kind == manifest.kind {
            Ok(())
        } else {
            Err(crate::oci::ManifestError::MediaTypeMismatch.into())
        }
    }

    /// What the manifest needs was acknowledged to nobody when another server is in the middle of storing it, or died
    /// there; with this manifest it is.
    fn settle_references(&self, storage: &Storage, manifest: &Manifest) -> Result<(), StorageError> {
        for blob in manifest.required_blobs() {
            storage.settle_blob(&self.repository, &blob.digest)?;
        }
        for child in &manifest.manifests {
            if !storage.settle_manifest(&self.repository, &child.digest)? {
                storage.settle_blob(&self.repository, &child.digest)?;
            }
        }
        Ok(())
    }

    /// Everything the manifest needs must be in this repository, unless sparse manifests are accepted. The subject need not be (specification,
    /// Pushing Manifests with Subject); the children of an index may be blobs (BuildKit's cache).
    fn check_references(&self, storage: &Storage, manifest: &Manifest) -> Result<(), RegistryError> {
        if self.config.sparse_manifests {
            return Ok(());
        }
        let mut missing = BTreeSet::new();
        for blob in manifest.required_blobs() {
            if !self.has_blob(storage, blob)? {
                missing.insert(blob.digest.clone());
            }
        }
        for child in &manifest.manifests {
            if !storage.has_manifest(&self.repository, &child.digest)? && !self.has_blob(storage, child)? {
                missing.insert(child.digest.clone());
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(RegistryError::ManifestBlobUnknown(missing.into_iter().collect()))
        }
    }

    /// Whether the repository has a blob. One of another size than the manifest says is read: when it is damaged
    /// it is not there, and the client sends it again; when it is right, the manifest may say what it likes.
    fn has_blob(&self, storage: &Storage, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        let Some(blob) = storage.find_blob(&self.repository, &descriptor.digest)? else { return Ok(false) };
        let is_right = (blob.identity.size == descriptor.size
            && !self.integrity.is_doubtful(&blob.stored_as, &blob.identity))
            || self.integrity.is_proven(&blob.stored_as, &blob.identity)
            || self.integrity.examine(storage, &blob.stored_as)? == Verdict::Right;
        Ok(is_right)
    }
}
