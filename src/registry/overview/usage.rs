//! Who uses which blob: bytes shared between repositories, and the other images of a layer.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Catalogue, CatalogueRow, RepositoryView, manifest_view::BlobKey};
use crate::{
    oci::{Digest, RepositoryName, Tag},
    registry::{Registry, RegistryError},
};

/// How the bytes of a repository are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryBytes {
    /// The repository.
    pub name: RepositoryName,
    /// Tags.
    pub tags: usize,
    /// All images by tag as if none shared a layer.
    pub logical: u64,
    /// What is stored for it, each blob once.
    pub stored: u64,
    /// The part of that which no other repository uses.
    pub unique: u64,
}

/// How the bytes of some repositories are shared between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageReport {
    /// Each, in the order of the catalogue.
    pub repositories: Vec<RepositoryBytes>,
    /// All images by tag as if none shared a layer.
    pub logical: u64,
    /// What is stored for all, each blob once.
    pub stored: u64,
    /// The part of that which more than one repository uses.
    pub shared: u64,
    /// Repositories that have not been read yet and are not counted.
    pub unread: usize,
    /// Repositories that were read, for which there is no room in memory, and that are not counted either.
    pub no_room: usize,
}

/// Something that was looked for in all repositories of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known<T> {
    /// What was found in those that have been read.
    pub found: T,
    /// Whether these are all.
    pub is_complete: bool,
    /// Whether there is no room in memory for some that were read: waiting does not help.
    pub lacks_room: bool,
}

/// Another image that has a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerUse {
    /// Its repository.
    pub repository: RepositoryName,
    /// Its tag.
    pub tag: Tag,
}

/// How many repositories are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// They have not been read yet.
    pub unread: usize,
    /// They were read, and there is no room for them in memory: waiting does not help.
    pub no_room: usize,
}

impl Missing {
    fn of<T>(&self, found: T) -> Known<T> {
        Known { found, is_complete: self.unread + self.no_room == 0, lacks_room: self.no_room > 0 }
    }
}

impl Registry {
    /// How the bytes are shared between the repositories of the catalogue that `wanted` takes: nothing of the others
    /// counts.
    pub async fn storage_report(
        &self,
        wanted: impl Fn(&RepositoryName) -> bool + Send + 'static,
    ) -> Result<StorageReport, RegistryError> {
        let (registry, catalogue) = (self.clone(), self.catalogue().await?);
        self.compute(move || {
            let (views, missing) = registry.known_views(&catalogue, wanted);
            StorageReport { unread: missing.unread, no_room: missing.no_room, ..report(&views) }
        })
        .await
    }

    /// For each layer, how many other images have it and some of them. An image is a tag; one that names `not` does not
    /// count, and nothing in a repository that `wanted` does not take.
    pub async fn layer_uses(
        &self,
        layers: &[Digest],
        not: &Digest,
        most: usize,
        wanted: impl Fn(&RepositoryName) -> bool + Send + 'static,
    ) -> Result<Known<Vec<(usize, Vec<LayerUse>)>>, RegistryError> {
        let (registry, catalogue) = (self.clone(), self.catalogue().await?);
        let keys: HashMap<BlobKey, usize> =
            layers.iter().enumerate().map(|(index, layer)| (BlobKey::new(layer), index)).collect();
        let (not, mut uses) = (not.clone(), vec![(0, Vec::new()); layers.len()]);
        self.compute(move || {
            let (views, missing) = registry.known_views(&catalogue, wanted);
            for view in views {
                view.add_uses(&keys, &not, most, &mut uses);
            }
            missing.of(uses)
        })
        .await
    }

    /// What can be freed when the manifests `gone` leave a repository: what they need and nothing else that is known
    /// does, in any repository that `wanted` takes.
    pub async fn bytes_freed(
        &self,
        repository: &RepositoryName,
        gone: &[Digest],
        wanted: impl Fn(&RepositoryName) -> bool + Send + 'static,
    ) -> Result<Known<u64>, RegistryError> {
        let (registry, catalogue) = (self.clone(), self.catalogue().await?);
        let (view, gone) = (self.repository_view(repository).await?, gone.to_vec());
        self.compute(move || {
            let mut freed = view.only_needed_by(&gone);
            let (others, missing) =
                registry.known_views(&catalogue, |name| name != view.name() && wanted(name));
            for other in others {
                freed.retain(|key, _| !other.manifests.has_blob(*key));
            }
            missing.of(freed.values().fold(0, |sum: u64, size| sum.saturating_add(*size)))
        })
        .await
    }

    /// What is known of the repositories of the catalogue that `wanted` takes, and of how many nothing is.
    fn known_views(
        &self,
        catalogue: &Catalogue,
        wanted: impl Fn(&RepositoryName) -> bool,
    ) -> (Vec<Arc<RepositoryView>>, Missing) {
        let mut missing = Missing::default();
        let rows = catalogue.rows().iter().filter(|row| wanted(&row.name));
        let views = rows.filter_map(|row| self.known_view(row, &mut missing)).collect();
        (views, missing)
    }

    /// What is known of a repository; what is not is counted.
    pub(super) fn known_view(
        &self,
        row: &CatalogueRow,
        missing: &mut Missing,
    ) -> Option<Arc<RepositoryView>> {
        let view = self.inner.overviews.views.get(&row.name);
        match (&view, &row.facts) {
            (Some(_), _) => {}
            (None, None) => missing.unread += 1,
            (None, Some(_)) => missing.no_room += 1,
        }
        view
    }
}

impl RepositoryView {
    /// Adds its images to those that have a layer of `keys`, each of which has a place in `uses`.
    fn add_uses(
        &self,
        keys: &HashMap<BlobKey, usize>,
        not: &Digest,
        most: usize,
        uses: &mut [(usize, Vec<LayerUse>)],
    ) {
        if !keys.keys().any(|key| self.manifests.has_blob(*key)) {
            return;
        }
        for tag in self.tags() {
            let Some(manifest) = tag.manifest.as_ref().filter(|_| tag.digest != *not) else { continue };
            let children = manifest.children.iter().filter(|child| *child != not);
            let own = std::iter::once(manifest);
            let all = own.chain(children.filter_map(|child| self.manifest(child)));
            let found: HashSet<usize> = all
                .flat_map(|manifest| &*manifest.blobs)
                .filter_map(|(key, _)| keys.get(key).copied())
                .collect();
            for index in found {
                let (count, some) = &mut uses[index];
                *count += 1;
                if some.len() < most {
                    some.push(LayerUse { repository: self.name().clone(), tag: tag.tag.clone() });
                }
            }
        }
    }

    /// The blobs with their sizes that of all its manifests only `gone` need.
    fn only_needed_by(&self, gone: &[Digest]) -> HashMap<BlobKey, u64> {
        let of = |digest: &Digest| self.manifest(digest).map(|manifest| manifest.blobs.clone());
        let mut needed: HashMap<BlobKey, u64> = gone.iter().filter_map(of).flat_map(Vec::from).collect();
        let gone: HashSet<&Digest> = gone.iter().collect();
        for kept in self.manifests().filter(|manifest| !gone.contains(&manifest.digest)) {
            for (key, _) in &*kept.blobs {
                needed.remove(key);
            }
        }
        needed
    }
}

fn report(views: &[Arc<RepositoryView>]) -> StorageReport {
    let mut users: HashMap<BlobKey, (u64, u32)> = HashMap::new();
    for (key, size) in views.iter().flat_map(|view| &view.manifests.blobs) {
        users.entry(*key).or_insert((*size, 0)).1 += 1;
    }
    let repositories = views.iter().map(|view| {
        let unique =
            view.manifests.blobs.iter().filter(|(key, _)| users.get(key).is_some_and(|user| user.1 == 1));
        RepositoryBytes {
            name: view.name().clone(),
            tags: view.tags().len(),
            logical: view.logical_bytes(),
            stored: view.stored_bytes(),
            unique: unique.fold(0, |sum, blob| sum.saturating_add(blob.1)),
        }
    });
    let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
    StorageReport {
        repositories: repositories.collect(),
        logical: sum(&mut views.iter().map(|view| view.logical_bytes())),
        stored: sum(&mut users.values().map(|user| user.0)),
        shared: sum(&mut users.values().filter(|user| user.1 > 1).map(|user| user.0)),
        unread: 0,
        no_room: 0,
    }
}
