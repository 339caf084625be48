//! Deleting manifests with the tags that name them, without harm to a push at the same time.

use std::collections::HashSet;

use super::{Action, JournalEntry, Registry, RegistryError, manifests::BoundedCache};
use crate::{
    oci::{Digest, Reference, RepositoryName, Tag},
    storage::{Storage, StorageError},
};

/// What was taken away, also when it ended before its end.
#[derive(Debug, Default)]
pub struct Deletion {
    /// The manifests that were deleted.
    pub deleted: Vec<Digest>,
    /// The tags that were taken off, with what they named.
    pub untagged: Vec<(Tag, Digest)>,
    /// Tags that were not to go, with what they name: that stays.
    pub kept: Vec<(Tag, Digest)>,
    /// What ended it before all was done.
    pub failure: Option<StorageError>,
}

impl Deletion {
    /// What the journal says of it, by who did it and where: `by` is of the repository.
    pub fn entries(&self, by: &JournalEntry) -> impl Iterator<Item = JournalEntry> {
        let entry = |action, tag: Option<&Tag>, was: &Digest| JournalEntry {
            tag: tag.cloned(),
            was: Some(was.clone()),
            ..by.done(action)
        };
        let deleted = self.deleted.iter().map(move |digest| entry(Action::Delete, None, digest));
        deleted.chain(self.untagged.iter().map(move |(tag, was)| entry(Action::Untag, Some(tag), was)))
    }
}

impl Registry {
    /// Takes a manifest out of a repository, with every tag that names it. `late` is told when that is done after the
    /// deadline.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        late: impl FnOnce(Deletion) + Send + 'static,
    ) -> Result<Deletion, RegistryError> {
        let (name, wanted, cache) = (repository.clone(), digest.clone(), self.inner.manifests.clone());
        let delete = move |storage: &Storage| {
            let mut done = Deletion::default();
            done.failure = delete_manifest(storage, &cache, &name, &wanted, &mut done).err();
            done
        };
        let done = self.delete(repository, vec![digest.clone()], delete, late).await?;
        if done.deleted.is_empty() && done.failure.is_none() {
            return Err(RegistryError::ManifestUnknown(Reference::Digest(digest.clone())));
        }
        Ok(done)
    }

    /// Takes manifests out of a repository with those tags of them that are in `allowed`. One that another tag names
    /// stays, whichever server wrote that tag and up to the last moment; one that is not there is passed over. `late`
    /// is told when that is done after the deadline.
    ///
    /// It is one call on the volume, which has a deadline: for some hundreds at a time.
    pub async fn delete_manifests_if(
        &self,
        repository: &RepositoryName,
        digests: &[Digest],
        allowed: &[Tag],
        late: impl FnOnce(Deletion) + Send + 'static,
    ) -> Result<Deletion, RegistryError> {
        let conditional = Conditional {
            repository: repository.clone(),
            digests: digests.to_vec(),
            allowed: allowed.iter().cloned().collect(),
        };
        let cache = self.inner.manifests.clone();
        let delete = move |storage: &Storage| {
            let mut done = Deletion::default();
            done.failure = conditional.run(storage, &cache, &mut done).err();
            done
        };
        self.delete(repository, digests.to_vec(), delete, late).await
    }

    async fn delete(
        &self,
        repository: &RepositoryName,
        wanted: Vec<Digest>,
        delete: impl FnOnce(&Storage) -> Deletion + Send + 'static,
        late: impl FnOnce(Deletion) + Send + 'static,
    ) -> Result<Deletion, RegistryError> {
        self.require_delete()?;
        let (registry, name) = (self.clone(), repository.clone());
        let delete = move |storage: &Storage| {
            let done = delete(storage);
            if let Some(error) = &done.failure {
                registry.inner.watch.note(error);
            }
            // Also what was put back: it was not there for a moment, and its directory may not say that it came again.
            let tags = done.untagged.iter().chain(&done.kept).map(|(tag, _)| tag);
            registry.inner.overviews.touch(&name, tags, &wanted);
            done
        };
        self.change(delete, late).await
    }
}

/// Tags first, so that a crash between leaves none that names nothing; the content stays for other repositories.
fn delete_manifest(
    storage: &Storage,
    cache: &BoundedCache,
    repository: &RepositoryName,
    digest: &Digest,
    done: &mut Deletion,
) -> Result<(), StorageError> {
    if !storage.has_manifest(repository, digest)? {
        return Ok(());
    }
    for tag in storage.list_tags(repository)?.unwrap_or_default() {
        if storage.delete_tag_if(repository, &tag, digest)? {
            done.untagged.push((tag, digest.clone()));
        }
    }
    if storage.unlink_manifest(repository, digest)? {
        done.deleted.push(digest.clone());
    }
    unlink_from_subject(storage, cache, repository, digest)?;
    // Those that a push has written between the first look and the removal. What a push writes from now on is its own.
    for tag in storage.list_tags(repository)?.unwrap_or_default() {
        take_dangling(storage, repository, tag, digest.clone(), done)?;
    }
    Ok(())
}

/// Takes a tag off that names what is gone.
fn take_dangling(
    storage: &Storage,
    repository: &RepositoryName,
    tag: Tag,
    digest: Digest,
    done: &mut Deletion,
) -> Result<(), StorageError> {
    let is_told = done.untagged.iter().any(|(told, _)| *told == tag);
    if storage.delete_dangling_tag(repository, &tag, &digest)? && !is_told {
        done.untagged.push((tag, digest));
    }
    Ok(())
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
    fn run(
        mut self,
        storage: &Storage,
        cache: &BoundedCache,
        done: &mut Deletion,
    ) -> Result<(), StorageError> {
        let mut there = Vec::new();
        for digest in self.digests.drain(..) {
            if storage.has_manifest(&self.repository, &digest)? {
                there.push(digest);
            }
        }
        self.digests = there;
        for (tag, digest) in self.keep(storage, done)? {
            if storage.delete_tag_if(&self.repository, &tag, &digest)? {
                done.untagged.push((tag, digest));
            }
        }
        for digest in &self.digests {
            if storage.unlink_manifest(&self.repository, digest)? {
                done.deleted.push(digest.clone());
            }
        }
        let dangling = self.keep(storage, done)?;
        for digest in done.deleted.clone() {
            if self.digests.contains(&digest) {
                unlink_from_subject(storage, cache, &self.repository, &digest)?;
            } else {
                storage.link_manifest(&self.repository, &digest)?;
                done.deleted.retain(|deleted| *deleted != digest);
            }
        }
        for (tag, digest) in dangling {
            take_dangling(storage, &self.repository, tag, digest, done)?;
        }
        Ok(())
    }

    /// Reads the tags. Leaves out of the deletion what a tag names that is not to go, and returns the others.
    fn keep(&mut self, storage: &Storage, done: &mut Deletion) -> Result<Vec<(Tag, Digest)>, StorageError> {
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

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc, time::Duration};

    use bytes::Bytes;

    use super::*;
    use crate::{registry::Config, storage};

    const MANIFEST: &str =
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

    fn server(directory: &tempfile::TempDir, volume_deadline: Duration) -> Registry {
        let storage = Storage::open(storage::Config::new(directory.path().to_path_buf())).unwrap();
        Registry::new(storage, Config { volume_deadline, ..Config::default() })
    }

    async fn push(registry: &Registry, tags: &[&str]) -> (RepositoryName, Digest) {
        let name = "team/app".parse().unwrap();
        let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let bytes = Bytes::from_static(MANIFEST.as_bytes());
        let first = Reference::Tag(tags[0].clone());
        let put = registry.put_manifest(&name, &first, &[], None, bytes.clone(), drop).await.unwrap();
        let digest = Reference::Digest(put.digest.clone());
        registry.put_manifest(&name, &digest, &tags, None, bytes, drop).await.unwrap();
        (name, put.digest)
    }

    #[tokio::test]
    async fn what_is_deleted_after_the_deadline_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (name, digest) = push(&server(&directory, Duration::from_secs(30)), &["v1", "v2"]).await;
        let hasty = server(&directory, Duration::from_millis(1));
        let (told, late) = mpsc::channel();
        let (cache, repository, gone) = (hasty.inner.manifests.clone(), name.clone(), digest.clone());
        let delete = move |storage: &Storage| {
            std::thread::sleep(Duration::from_millis(500));
            let mut done = Deletion::default();
            done.failure = delete_manifest(storage, &cache, &repository, &gone, &mut done).err();
            done
        };
        let answer =
            hasty.delete(&name, vec![digest.clone()], delete, move |done| told.send(done).unwrap()).await;
        assert!(matches!(answer, Err(RegistryError::Unavailable(_))), "{answer:?}");
        let done = late.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!((&*done.deleted, done.untagged.len()), (&[digest][..], 2));
    }

    #[tokio::test]
    async fn what_was_done_before_it_failed_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let registry = server(&directory, Duration::from_secs(30));
        let (name, digest) = push(&registry, &["a", "b"]).await;
        // A tag that cannot be read.
        let tags = "docker/registry/v2/repositories/team/app/_manifests/tags";
        let link = directory.path().join(tags).join("b/current/link");
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("link", &link).unwrap();
        let done = registry.delete_manifest(&name, &digest, drop).await.unwrap();
        assert!(done.failure.is_some() && done.deleted.is_empty(), "{done:?}");
        let by = JournalEntry::new(Action::Delete, Some("ana"), None);
        let told: Vec<_> = done.entries(&by).map(|entry| (entry.action, entry.tag, entry.user)).collect();
        assert_eq!(told, [(Action::Untag, Some("a".parse().unwrap()), Some("ana".to_owned()))]);
    }
}
