//! Which manifests name which subject, whoever stored them.
//!
//! registry:2 takes a manifest with a subject and records nothing of it, and a copy of a volume may lack our links.
//! So a listing looks through the manifests of its repository, each of which is read once: what a manifest names
//! follows from its bytes, which never change. That is remembered, in memory and in a file beside the links
//! ([`crate::storage::Subjects`]), and missing links are made on the way. Neither needs to be right for the
//! answer to be: what is missing is read again, and what is no longer in the repository is not listed.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;
use tokio::{
    sync::Mutex,
    time::{Instant as AsyncInstant, timeout_at},
};

use super::super::{
    Registry, RegistryError,
    blocking::Work,
    manifests::{BoundedCache, find_manifest},
};
use crate::{
    oci::{Digest, Reference, RepositoryName},
    storage::{Storage, StorageError, Subjects},
};

/// How long one call may read manifests before it gives its place to others.
const STEP: Duration = Duration::from_secs(2);

/// How long a listing may read manifests, over all its calls; then the client is asked to come again, and what was
/// read is kept.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// For how long a manifest that could not be read is not tried again. registry:2 leaves an empty directory for
/// each one it deleted.
const UNREADABLE_FOR: Duration = Duration::from_secs(600);

/// Most manifests that another process may have to read because they are not in the file yet.
const UNSAVED: usize = 200;

/// About how many bytes a remembered manifest takes.
const ENTRY_BYTES: usize = 250;

/// What is known of each repository, bounded by its size.
#[derive(Clone)]
pub(in super::super) struct SubjectCache(Cache<RepositoryName, Arc<Entry>>);

#[derive(Default)]
struct Entry {
    known: Arc<Mutex<Known>>,
    weight: AtomicU32,
}

impl SubjectCache {
    pub(in super::super) fn new(bytes: u64) -> Self {
        let weight = |_: &RepositoryName, entry: &Arc<Entry>| entry.weight.load(Ordering::Relaxed) + 512;
        Self(Cache::builder().max_capacity(bytes).weigher(weight).build())
    }

    fn entry(&self, repository: &RepositoryName) -> Arc<Entry> {
        self.0.get_with(repository.clone(), Arc::default)
    }

    /// Weighs a repository anew.
    fn weigh(&self, repository: &RepositoryName, entry: Arc<Entry>, manifests: usize) {
        let weight = u32::try_from(manifests * ENTRY_BYTES).unwrap_or(u32::MAX / 2);
        if entry.weight.swap(weight, Ordering::Relaxed) != weight {
            self.0.insert(repository.clone(), entry);
        }
    }
}

impl Registry {
    /// Every subject named by a manifest of the repository, with the manifests that name it, which may have been
    /// deleted since.
    ///
    /// # Errors
    /// `Unavailable` when there is more to read than `patience` allows; the next call goes on from there.
    pub(super) async fn subjects<T: Send + 'static>(
        &self,
        repository: &RepositoryName,
        patience: Duration,
        select: impl Fn(&Subjects) -> T + Clone + Send + 'static,
    ) -> Result<T, RegistryError> {
        let entry = self.inner.subjects.entry(repository);
        let deadline = AsyncInstant::now() + patience;
        loop {
            // One reads, the others wait for what it learns, without a place on the volume.
            let waited = timeout_at(deadline, entry.known.clone().lock_owned()).await;
            let mut known = waited.map_err(|_| RegistryError::Unavailable(patience))?;
            let (name, cache, select) = (repository.clone(), self.inner.manifests.clone(), select.clone());
            let learn = move |storage: &Storage| {
                let complete = known.learn(storage, &cache, &name)?;
                Ok((complete.then(|| select(&known.subjects)), known.subjects.len()))
            };
            let (selected, manifests) = self.storage(Work::Lookup, learn).await?;
            self.inner.subjects.weigh(repository, entry.clone(), manifests);
            if let Some(selected) = selected {
                return Ok(selected);
            }
            if AsyncInstant::now() >= deadline {
                return Err(RegistryError::Unavailable(patience));
            }
        }
    }
}

#[derive(Default)]
struct Known {
    loaded: bool,
    subjects: Subjects,
    unreadable: HashMap<Digest, Instant>,
    /// How many of them the file lacks.
    unsaved: usize,
}

impl Known {
    /// Reads the manifests of a repository that are not known yet; `Ok(false)` when there is more to do.
    fn learn(
        &mut self,
        storage: &Storage,
        cache: &BoundedCache,
        repository: &RepositoryName,
    ) -> Result<bool, StorageError> {
        if !self.loaded {
            self.subjects = storage.read_subjects(repository)?;
            self.loaded = true;
        }
        let started = Instant::now();
        let manifests = storage.list_manifests(repository)?;
        let mut complete = true;
        for digest in &manifests {
            let tried = self.unreadable.get(digest).is_some_and(|tried| tried.elapsed() < UNREADABLE_FOR);
            if tried || self.subjects.contains_key(digest) {
                continue;
            }
            if started.elapsed() > STEP {
                complete = false;
                break;
            }
            self.read(storage, cache, repository, digest)?;
        }
        self.save(storage, repository, &manifests);
        Ok(complete)
    }

    fn read(
        &mut self,
        storage: &Storage,
        cache: &BoundedCache,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let found = find_manifest(storage, cache, repository, &Reference::Digest(digest.clone()))?;
        let Some((_, cached)) = found else {
            self.unreadable.insert(digest.clone(), Instant::now());
            return Ok(());
        };
        let subject = cached.manifest.subject.as_ref().map(|subject| subject.digest.clone());
        if let Some(subject) = &subject {
            // On a volume that is full or cannot be written the answer is right without it.
            if let Err(error) = storage.link_referrer(repository, subject, digest) {
                tracing::debug!(%repository, %digest, %error, "a missing link of a referrer cannot be made");
            }
        }
        self.unreadable.remove(digest);
        self.subjects.insert(digest.clone(), subject);
        self.unsaved += 1;
        Ok(())
    }

    /// Writes the file when enough is new, so that its cost stays small beside that of the reading.
    fn save(&mut self, storage: &Storage, repository: &RepositoryName, manifests: &[Digest]) {
        let saved = self.subjects.len() - self.unsaved.min(self.subjects.len());
        if self.unsaved == 0 || (saved > 0 && self.unsaved < UNSAVED.min(16 + saved / 8)) {
            return;
        }
        // What was deleted is forgotten here and nowhere else.
        let present: std::collections::HashSet<_> = manifests.iter().collect();
        self.subjects.retain(|digest, _| present.contains(digest));
        self.unreadable.retain(|digest, _| present.contains(digest));
        match storage.write_subjects(repository, &self.subjects) {
            Ok(()) => self.unsaved = 0,
            Err(error) => tracing::debug!(%repository, %error, "the list of subjects cannot be kept"),
        }
    }
}
