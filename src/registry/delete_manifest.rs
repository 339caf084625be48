//! Deleting manifests with the tags that name them, without harm to a push at the same time.

use std::collections::HashSet;

use super::{Registry, RegistryError, blocking::Work, manifests::BoundedCache};
use crate::{
    oci::{Digest, Reference, RepositoryName, Tag},
    storage::{Storage, StorageError},
};

/// What came of a deletion that may take only some tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionalDeletion {
    /// The manifests that were deleted.
    pub deleted: Vec<Digest>,
    /// The tags that were taken off, with what they named.
    pub untagged: Vec<(Tag, Digest)>,
    /// Tags that were not to go, with what they name: that stays.
    pub kept: Vec<(Tag, Digest)>,
}

impl Registry {
    /// Takes a manifest out of a repository, with every tag that names it. Returns these.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<Tag>, RegistryError> {
        self.require_delete()?;
        let (name, wanted, cache) = (repository.clone(), digest.clone(), self.inner.manifests.clone());
        let deleted = self
            .storage(Work::Write, move |storage| delete_manifest(storage, &cache, &name, &wanted))
            .await?;
        self.inner.overviews.touch_repository(repository);
        for tag in deleted.iter().flatten() {
            self.inner.overviews.touch(repository, tag);
        }
        deleted.ok_or_else(|| RegistryError::ManifestUnknown(Reference::Digest(digest.clone())))
    }

    /// Takes manifests out of a repository with those tags of them that are in `allowed`. One that another tag names
    /// stays, whichever server wrote that tag and up to the last moment; one that is not there is passed over.
    ///
    /// It is one call on the volume, which has a deadline: for some hundreds at a time.
    pub async fn delete_manifests_if(
        &self,
        repository: &RepositoryName,
        digests: &[Digest],
        allowed: &[Tag],
    ) -> Result<ConditionalDeletion, RegistryError> {
        self.require_delete()?;
        let conditional = Conditional {
            repository: repository.clone(),
            digests: digests.to_vec(),
            allowed: allowed.iter().cloned().collect(),
        };
        let cache = self.inner.manifests.clone();
        let result = self.storage(Work::Write, move |storage| conditional.run(storage, &cache)).await;
        self.inner.overviews.touch_repository(repository);
        let done = result?;
        for (tag, _) in done.untagged.iter().chain(&done.kept) {
            self.inner.overviews.touch(repository, tag);
        }
        Ok(done)
    }
}

/// Tags first, so that a crash between leaves none that names nothing; the content stays for other repositories.
fn delete_manifest(
    storage: &Storage,
    cache: &BoundedCache,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<Vec<Tag>>, StorageError> {
    if !storage.has_manifest(repository, digest)? {
        return Ok(None);
    }
    let mut untagged = Vec::new();
    for tag in storage.list_tags(repository)?.unwrap_or_default() {
        if storage.delete_tag_if(repository, &tag, digest)? {
            untagged.push(tag);
        }
    }
    let removed = storage.unlink_manifest(repository, digest)?;
    unlink_from_subject(storage, cache, repository, digest)?;
    // Those that a push has written between the first look and the removal. What a push writes from now on is its own.
    for tag in storage.list_tags(repository)?.unwrap_or_default() {
        if storage.delete_dangling_tag(repository, &tag, digest)? && !untagged.contains(&tag) {
            untagged.push(tag);
        }
    }
    Ok(removed.then_some(untagged))
}

/// What a manifest refers to no longer lists it.
fn unlink_from_subject(
    storage: &Storage,
    cache: &BoundedCache,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<(), StorageError> {
    if let Some(cached) = cache.load(storage, digest)?
        && let Some(subject) = &cached.manifest.subject
    {
        storage.unlink_referrer(repository, &subject.digest, digest)?;
        // A push of the same manifest may have come between.
        if storage.has_manifest(repository, digest)? {
            storage.link_referrer(repository, &subject.digest, digest)?;
        }
    }
    Ok(())
}

/// A deletion of some manifests that may take some tags.
struct Conditional {
    repository: RepositoryName,
    digests: Vec<Digest>,
    allowed: HashSet<Tag>,
}

impl Conditional {
    /// Tags first, as above. A push may write another tag at any moment, and looks for the manifest after that: so the
    /// tags are read once more when the manifest is hidden, and one that another tag names is put back.
    fn run(mut self, storage: &Storage, cache: &BoundedCache) -> Result<ConditionalDeletion, StorageError> {
        let mut done = ConditionalDeletion::default();
        let mut there = Vec::new();
        for digest in self.digests.drain(..) {
            if storage.has_manifest(&self.repository, &digest)? {
                there.push(digest);
            }
        }
        self.digests = there;
        for (tag, digest) in self.keep(storage, &mut done)? {
            if storage.delete_tag_if(&self.repository, &tag, &digest)? {
                done.untagged.push((tag, digest));
            }
        }
        let mut hidden = Vec::new();
        for digest in &self.digests {
            if storage.unlink_manifest(&self.repository, digest)? {
                hidden.push(digest.clone());
            }
        }
        let dangling = self.keep(storage, &mut done)?;
        for digest in hidden {
            if self.digests.contains(&digest) {
                unlink_from_subject(storage, cache, &self.repository, &digest)?;
                done.deleted.push(digest);
            } else {
                storage.link_manifest(&self.repository, &digest)?;
            }
        }
        for (tag, digest) in dangling {
            let is_told = done.untagged.iter().any(|(told, _)| *told == tag);
            if storage.delete_dangling_tag(&self.repository, &tag, &digest)? && !is_told {
                done.untagged.push((tag, digest));
            }
        }
        Ok(done)
    }

    /// Reads the tags. Leaves out of the deletion what a tag names that is not to go, and returns the others.
    fn keep(
        &mut self,
        storage: &Storage,
        done: &mut ConditionalDeletion,
    ) -> Result<Vec<(Tag, Digest)>, StorageError> {
        if self.digests.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: HashSet<&Digest> = self.digests.iter().collect();
        let mut named = Vec::new();
        for tag in storage.list_tags(&self.repository)?.unwrap_or_default() {
            let digest = storage.read_tag(&self.repository, &tag)?;
            named.extend(digest.filter(|digest| wanted.contains(digest)).map(|digest| (tag, digest)));
        }
        let (mut going, kept): (Vec<_>, Vec<_>) =
            named.into_iter().partition(|(tag, _)| self.allowed.contains(tag));
        let stays: HashSet<&Digest> = kept.iter().map(|(_, digest)| digest).collect();
        going.retain(|(_, digest)| !stays.contains(digest));
        self.digests.retain(|digest| !stays.contains(digest));
        done.kept.extend(kept);
        Ok(going)
    }
}
