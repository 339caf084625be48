//! What is stored, at a glance: the tags of a repository with what they name, all repositories, who uses which blob.
//!
//! For pages alone, and only a memory: it is read from the volume when somebody looks, and again in the parts that
//! changed. What this process does is seen at once, what another server does when its journal is read, within three
//! seconds, and what neither wrote (registry:2) when the list of all is read again. A page of tags reads the tags that
//! it shows from the volume all the same.

mod catalogue;
mod catalogue_state;
mod manifest_names;
mod manifest_view;
mod manifests;
mod merged;
mod namespaces;
mod reading;
mod repository_view;
mod rows;
mod tag_view;
mod touched;
mod usage;
mod version_order;

#[cfg(test)]
mod amended_tests;

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use moka::sync::Cache;
use tokio::sync::Semaphore;

pub use catalogue::{Catalogue, CatalogueOrder, CatalogueRow, CatalogueTotals};
pub use manifest_view::{ManifestKindView, ManifestView};
pub use namespaces::{Namespace, Namespaces};
pub use repository_view::RepositoryView;
pub use tag_view::{TagOrder, TagView};
pub use usage::{Known, LayerUse, Missing, RepositoryBytes, StorageReport};

use self::{catalogue_state::CatalogueState, touched::Touched};
use super::{JournalEntry, Registry, RegistryError, blocking::Work, summaries::Summarizer};
use crate::{
    oci::{Digest, RepositoryName, Tag},
    storage::{Storage, StorageError},
};

/// What is known of each repository.
pub(super) struct Overviews {
    views: Cache<RepositoryName, Arc<RepositoryView>>,
    touched: Touched,
    /// Two do not read the same repository at once.
    locks: [Mutex<()>; 32],
    hasher: RandomState,
    catalogue: CatalogueState,
    /// What is computed for pages at once.
    computing: Arc<Semaphore>,
}

impl Overviews {
    /// Remembers at most so many bytes of repositories.
    pub(super) fn new(capacity: u64) -> Self {
        let weight = |name: &RepositoryName, view: &Arc<RepositoryView>| {
            u32::try_from(view.weight() + name.as_str().len()).unwrap_or(u32::MAX)
        };
        Self {
            views: Cache::builder().max_capacity(capacity).weigher(weight).build(),
            touched: Touched::default(),
            locks: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            catalogue: CatalogueState::default(),
            computing: Arc::new(Semaphore::new(thread::available_parallelism().map_or(1, usize::from))),
        }
    }

    /// Remembers that something in a repository changed: tags, and manifests that were pushed or deleted, or may have
    /// been. Where they are known they are read again.
    pub(super) fn touch<'a>(
        &self,
        repository: &RepositoryName,
        tags: impl IntoIterator<Item = &'a Tag>,
        manifests: impl IntoIterator<Item = &'a Digest>,
    ) {
        self.touched.add(repository, tags, manifests, || self.views.contains_key(repository));
        self.catalogue.touch(repository);
    }

    /// A repository as it is now; `None` when there is none. Blocks.
    fn look(
        &self,
        storage: &Storage,
        summarizer: &Summarizer,
        name: &RepositoryName,
    ) -> Result<Option<Arc<RepositoryView>>, StorageError> {
        let index = usize::try_from(self.hasher.hash_one(name) % 32).unwrap_or_default();
        let _alone = self.locks[index].lock().unwrap_or_else(PoisonError::into_inner);
        let reading = self.touched.take(name);
        let known = self.views.get(name);
        let is_old = known.as_ref().is_some_and(|known| {
            known.is_old() || reading.all_before.is_some_and(|before| known.read_at() < before)
        });
        let known_parts = known.as_ref().filter(|_| !is_old);
        let view = RepositoryView::read(storage, summarizer, name, known_parts, &reading.changes)?;
        match &view {
            Some(view) if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, view)) => {}
            Some(view) => self.views.insert(name.clone(), view.clone()),
            None => self.views.invalidate(name),
        }
        reading.done();
        Ok(view)
    }
}

impl Registry {
    /// A repository with all its tags and what they name.
    pub async fn repository_view(
        &self,
        repository: &RepositoryName,
    ) -> Result<Arc<RepositoryView>, RegistryError> {
        self.follow_journal().await?;
        let (registry, name, summarizer) = (self.clone(), repository.clone(), self.summarizer());
        let look = move |storage: &Storage| registry.inner.overviews.look(storage, &summarizer, &name);
        let view = self.storage(Work::Lookup, look).await?;
        view.ok_or_else(|| RegistryError::NameUnknown(repository.clone()))
    }

    /// Computes something for a page from what is in memory, off the async threads.
    pub async fn compute<T: Send + 'static>(
        &self,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RegistryError> {
        let place = self.inner.overviews.computing.clone().acquire_owned().await;
        let place = place.map_err(|_| RegistryError::Internal)?;
        let compute = move || {
            let _place = place;
            compute()
        };
        tokio::task::spawn_blocking(compute).await.map_err(|_| RegistryError::Internal)
    }

    /// Tags in repositories of the catalogue, at most `most`, that `finds` finds, each with what was given for its
    /// repository. Repositories of which nothing is known are passed over, and counted until enough is found. Computes:
    /// see [`Self::compute`].
    pub fn find_tags<'a, T>(
        &self,
        repositories: impl Iterator<Item = (&'a Arc<CatalogueRow>, T)>,
        most: usize,
        finds: impl Fn(&str, &T) -> bool,
    ) -> (Vec<(RepositoryName, Tag)>, Missing) {
        let (mut found, mut missing) = (Vec::new(), Missing::default());
        for (row, given) in repositories {
            let Some(view) = self.known_view(row, &mut missing) else { continue };
            let tags = view.tags().iter().filter(|tag| finds(tag.tag.as_str(), &given));
            found.extend(tags.take(most - found.len()).map(|tag| (row.name.clone(), tag.tag.clone())));
            if found.len() >= most {
                break;
            }
        }
        (found, missing)
    }

    /// Who pushed what a tag names, as far as the journal says.
    pub fn pushed_by(&self, repository: &RepositoryName, tag: &Tag, digest: &Digest) -> Option<String> {
        self.pushes(repository, std::iter::once((tag, digest))).pop().flatten().and_then(|entry| entry.user)
    }

    /// Some tags of a view as they are now, each read from the volume; one that is gone is left out. With each, who
    /// pushed it, as far as that is known.
    pub async fn fresh_tags(
        &self,
        view: &Arc<RepositoryView>,
        tags: Vec<Arc<TagView>>,
    ) -> Result<Vec<(Arc<TagView>, Option<JournalEntry>)>, RegistryError> {
        let (registry, view, summarizer) = (self.clone(), view.clone(), self.summarizer());
        let look = move |storage: &Storage| {
            let mut fresh = Vec::with_capacity(tags.len());
            for tag in tags {
                match tag.again(storage, &summarizer, &view)? {
                    Some(now) if now.is_same_as(&tag) => fresh.push(tag),
                    now => {
                        registry.inner.overviews.touch(view.name(), [&tag.tag], None);
                        fresh.extend(now.map(Arc::new));
                    }
                }
            }
            Ok((fresh, view))
        };
        let (fresh, view) = self.storage(Work::Lookup, look).await?;
        let pushes = self.pushes(view.name(), fresh.iter().map(|tag| (&tag.tag, &tag.digest)));
        Ok(fresh.into_iter().zip(pushes).collect())
    }
}
