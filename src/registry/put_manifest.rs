//! A push of a manifest: refused unless all it needs is there, then published in the order in which each step may be
//! the last before a crash.

use std::{
    collections::{BTreeSet, HashSet},
    io,
};

use bytes::Bytes;

use super::{
    Config, PutManifestOutcome, RegistryError,
    integrity::{Integrity, Verdict},
    manifests::MovedTag,
};
use crate::{
    oci::{Algorithm, Descriptor, Digest, Manifest, Reference, RepositoryName, Tag},
    storage::{Storage, StorageError, StoredBlob},
};

/// How often a push publishes again what a delete at the same time takes away.
const PUBLISH_ATTEMPTS: usize = 5;

/// What a manifest needs, as it was found in its repository.
#[derive(Debug, Default)]
struct References {
    blobs: Vec<(Digest, StoredBlob)>,
    manifests: Vec<Digest>,
    missing: BTreeSet<Digest>,
}

impl References {
    fn add(&mut self, digest: &Digest, blob: Option<StoredBlob>) {
        match blob {
            Some(blob) => self.blobs.push((digest.clone(), blob)),
            None => drop(self.missing.insert(digest.clone())),
        }
    }
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
        let references = self.find_references(storage, &manifest)?;
        self.require(&references)?;
        self.settle(storage, &references)?;
        storage.write_content(&digest, &self.bytes)?;
        let is_new = storage.link_manifest(&self.repository, &digest)?;
        // What it needs may have been deleted since it was looked up: then this manifest is refused, and must not
        // be seen either, unless it was acknowledged to somebody before.
        let looked_again = self.find_references(storage, &manifest)?;
        if let Err(missing) = self.require(&looked_again) {
            if is_new && !is_tagged(storage, &self.repository, &digest)? {
                storage.unlink_manifest(&self.repository, &digest)?;
            }
            return Err(missing);
        }
        // Costs nothing unless another server has replaced something meanwhile.
        self.settle(storage, &looked_again)?;
        let subject = manifest.subject.map(|subject| subject.digest);
        if let Some(subject) = &subject {
            storage.link_referrer(&self.repository, subject, &digest)?;
        }
        let mut moved = Vec::new();
        let failure = match self.publish(storage, &digest, subject.as_ref(), &mut moved) {
            Err(error) if moved.is_empty() => return Err(error.into()),
            published => published.err(),
        };
        Ok(PutManifestOutcome { digest, subject, moved, failure })
    }

    /// Points the tags at the manifest, and adds those to `moved` that named something else.
    ///
    /// A delete of this very manifest may run at the same time: it hides, then looks for tags once more; this
    /// publishes, then looks whether it was hidden. Whatever the order, a tag never names what is not there.
    fn publish(
        &mut self,
        storage: &Storage,
        digest: &Digest,
        subject: Option<&Digest>,
        moved: &mut Vec<MovedTag>,
    ) -> Result<(), StorageError> {
        if let Reference::Tag(tag) = &self.reference
            && !self.tags.contains(tag)
        {
            self.tags.insert(0, tag.clone());
        }
        for _ in 0..PUBLISH_ATTEMPTS {
            for tag in &self.tags {
                let write = storage.write_tag(&self.repository, tag, digest)?;
                if write.moved && !moved.iter().any(|known| known.tag == *tag) {
                    moved.push(MovedTag { tag: tag.clone(), was: write.was });
                }
                if let Some(error) = write.failure {
                    return Err(error);
                }
            }
            if storage.has_manifest(&self.repository, digest)? {
                return Ok(());
            }
            storage.link_manifest(&self.repository, digest)?;
            if let Some(subject) = subject {
                storage.link_referrer(&self.repository, subject, digest)?;
            }
        }
        let source = io::Error::other("it is deleted as often as it is published");
        Err(StorageError::Io { operation: "publish", path: digest.as_str().into(), source })
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

    /// Looks for everything the manifest needs in this repository. The subject need not be there (specification,
    /// Pushing Manifests with Subject); the children of an index may be blobs (BuildKit's cache).
    fn find_references(&self, storage: &Storage, manifest: &Manifest) -> Result<References, RegistryError> {
        let mut references = References::default();
        let mut seen = HashSet::new();
        let mut is_first =
            |descriptor: &&Descriptor| seen.insert((descriptor.digest.clone(), descriptor.size));
        for blob in manifest.required_blobs().filter(&mut is_first) {
            references.add(&blob.digest, self.find_blob(storage, blob)?);
        }
        for child in manifest.manifests.iter().filter(&mut is_first) {
            if storage.has_manifest(&self.repository, &child.digest)? {
                references.manifests.push(child.digest.clone());
            } else {
                references.add(&child.digest, self.find_blob(storage, child)?);
            }
        }
        Ok(references)
    }

    /// Nothing may be missing, unless sparse manifests are accepted.
    fn require(&self, references: &References) -> Result<(), RegistryError> {
        if references.missing.is_empty() || self.config.sparse_manifests {
            return Ok(());
        }
        Err(RegistryError::ManifestBlobUnknown(references.missing.iter().cloned().collect()))
    }

    /// What the manifest needs was acknowledged to nobody when another server is in the middle of storing it, or died
    /// there; with this manifest it is.
    fn settle(&self, storage: &Storage, references: &References) -> Result<(), StorageError> {
        for (digest, blob) in &references.blobs {
            storage.settle_blob(&self.repository, digest, blob)?;
        }
        for digest in &references.manifests {
            storage.settle_manifest(&self.repository, digest)?;
        }
        Ok(())
    }

    /// A blob of the repository. One of another size than the manifest says is read: when it is damaged
    /// it is not there, and the client sends it again; when it is right, the manifest may say what it likes.
    fn find_blob(
        &self,
        storage: &Storage,
        descriptor: &Descriptor,
    ) -> Result<Option<StoredBlob>, RegistryError> {
        let Some(blob) = storage.find_blob(&self.repository, &descriptor.digest)? else { return Ok(None) };
        let is_right = (blob.identity.size == descriptor.size
            && !self.integrity.is_doubtful(&blob.stored_as, &blob.identity))
            || self.integrity.is_proven(&blob.stored_as, &blob.identity)
            || self.integrity.examine(storage, &blob.stored_as)? == Verdict::Right;
        Ok(is_right.then_some(blob))
    }
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
