//! A repository with all its tags and manifests, as it was a moment ago.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{
    manifest_view::{BlobKey, ManifestView},
    relations::Relations,
    tag_view::{ABOUT, TagView, read_manifest},
    version_order::version_key,
};
use crate::{
    oci::{Algorithm, Digest, RepositoryName, Tag},
    registry::summaries::Summarizer,
    storage::{Names, Storage, StorageError},
};

/// After this all of a repository is read again: a registry:2 may have moved tags.
const OLD_AFTER: Duration = Duration::from_secs(600);

/// How tags are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagOrder {
    /// By version, the highest first: `v1.10` before `v1.9`.
    Name,
    /// By the last push, the newest first.
    Pushed,
    /// By when the image was built, the newest first.
    Created,
    /// By size, the largest first.
    Size,
}

/// See the module.
#[derive(Debug)]
pub struct RepositoryView {
    name: RepositoryName,
    /// In byte order.
    tags: Vec<TagView>,
    manifests: HashMap<Digest, Arc<ManifestView>>,
    tag_names: Names,
    manifest_names: Vec<(Algorithm, Names)>,
    /// What is stored for it, each blob once, in order.
    pub(super) blobs: Vec<(BlobKey, u64)>,
    /// Manifests by what they refer to.
    referrers: HashMap<Digest, Vec<Arc<ManifestView>>>,
    logical: u64,
    stored: u64,
    /// Place of the tag pushed last, of those that are no signature or the like.
    newest: Option<usize>,
    /// Whether there are tags that only hold signatures and the like.
    has_tags_about_others: bool,
    orders: [OnceLock<Box<[u32]>>; 4],
    relations: OnceLock<Relations>,
    /// When all of it was read.
    read_at: Instant,
}

impl RepositoryView {
    /// Reads a repository. Of `known` is taken what cannot have changed: all but the tags in `touched`, and names that
    /// are new.
    pub(super) fn read(
        storage: &Storage,
        summarizer: &Summarizer,
        name: &RepositoryName,
        known: Option<&Arc<Self>>,
        touched: &HashSet<Tag>,
    ) -> Result<Option<Arc<Self>>, StorageError> {
        // What is moved from here on may be seen or not.
        let read_at = known.map_or_else(Instant::now, |known| known.read_at);
        let Some(tag_names) = storage.tag_names(name)? else { return Ok(None) };
        let manifest_names = storage.manifest_names(name)?;
        if let Some(known) = known
            && touched.is_empty()
            && known.has_names(&tag_names, &manifest_names)
        {
            return Ok(Some(known.clone()));
        }
        let mut manifests = HashMap::new();
        let digests = manifest_names.iter().flat_map(|(algorithm, names)| {
            names.iter().filter_map(|name| Digest::from_parts(*algorithm, name).ok())
        });
        for digest in digests {
            let manifest = match known.and_then(|known| known.manifests.get(&digest)) {
                Some(manifest) => Some(manifest.clone()),
                None => read_manifest(storage, summarizer, name, &digest)?,
            };
            manifests.extend(manifest.map(|manifest| (digest, manifest)));
        }
        let mut tags = Vec::new();
        for tag in tag_names.iter().filter_map(|name| name.parse::<Tag>().ok()) {
            let known = known.as_ref().filter(|_| !touched.contains(&tag)).and_then(|known| known.tag(&tag));
            match known {
                Some(known) => tags.push(known.clone()),
                None => {
                    tags.extend(TagView::read(storage, name, &tag, |digest| {
                        Ok(manifests.get(digest).cloned())
                    })?);
                }
            }
        }
        Ok(Some(Arc::new(Self::new(name, tags, manifests, (tag_names, manifest_names), read_at))))
    }

    fn new(
        name: &RepositoryName,
        tags: Vec<TagView>,
        manifests: HashMap<Digest, Arc<ManifestView>>,
        (tag_names, manifest_names): (Names, Vec<(Algorithm, Names)>),
        read_at: Instant,
    ) -> Self {
        let mut blobs: Vec<_> =
            manifests.values().flat_map(|manifest| manifest.blobs.iter().copied()).collect();
        blobs.sort_unstable();
        blobs.dedup_by_key(|blob| blob.0);
        let mut referrers: HashMap<Digest, Vec<Arc<ManifestView>>> = HashMap::new();
        for manifest in manifests.values() {
            if let Some(subject) = &manifest.subject {
                referrers.entry(subject.clone()).or_default().push(manifest.clone());
            }
        }
        for found in referrers.values_mut() {
            found.sort_by_key(|manifest| (Reverse(manifest.created), manifest.digest.clone()));
        }
        let sizes = tags.iter().filter_map(|tag| tag.manifest.as_ref()).map(|manifest| manifest.size);
        let plain = tags.iter().enumerate().filter(|(_, tag)| !tag.is_about_another);
        Self {
            name: name.clone(),
            logical: sizes.fold(0, u64::saturating_add),
            stored: blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.1)),
            newest: plain.max_by_key(|(_, tag)| tag.pushed).map(|(place, _)| place),
            has_tags_about_others: tags.iter().any(|tag| tag.is_about_another),
            tags,
            manifests,
            tag_names,
            manifest_names,
            blobs,
            referrers,
            orders: Default::default(),
            relations: OnceLock::new(),
            read_at,
        }
    }

    fn has_names(&self, tags: &Names, manifests: &[(Algorithm, Names)]) -> bool {
        self.tag_names.is_same_as(tags)
            && self.manifest_names.len() == manifests.len()
            && self
                .manifest_names
                .iter()
                .zip(manifests)
                .all(|(one, other)| one.0 == other.0 && one.1.is_same_as(&other.1))
    }

    pub(super) fn is_old(&self) -> bool {
        self.read_at.elapsed() > OLD_AFTER
    }

    pub(super) fn read_at(&self) -> Instant {
        self.read_at
    }

    /// About how many bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        let manifests: usize = self.manifests.values().map(|manifest| manifest.weight()).sum();
        500 + self.tags.len() * 250 + manifests + self.blobs.len() * 24
    }

    /// The repository.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Its tags in byte order.
    pub fn tags(&self) -> &[TagView] {
        &self.tags
    }

    /// A tag.
    pub fn tag(&self, tag: &Tag) -> Option<&TagView> {
        self.tags.binary_search_by(|known| known.tag.cmp(tag)).ok().map(|index| &self.tags[index])
    }

    /// A manifest it has.
    pub fn manifest(&self, digest: &Digest) -> Option<&Arc<ManifestView>> {
        self.manifests.get(digest)
    }

    /// Its manifests, in no order.
    pub fn manifests(&self) -> impl Iterator<Item = &Arc<ManifestView>> {
        self.manifests.values()
    }

    /// How many manifests it has.
    pub fn manifest_count(&self) -> usize {
        self.manifests.len()
    }

    /// Whether there are tags that only hold signatures and the like: for what need not be looked for where there are
    /// none.
    pub fn has_tags_about_others(&self) -> bool {
        self.has_tags_about_others
    }

    /// The tags that name a manifest, in byte order.
    pub fn tags_of(&self, digest: &Digest) -> impl Iterator<Item = &Tag> {
        let tags = self.relations().tags_of(&self.tags, digest);
        tags.iter().map(|place| &self.tags[*place as usize].tag)
    }

    /// The indexes that list a manifest, as far as summaries have what they list.
    pub fn indexes_of(&self, digest: &Digest) -> impl Iterator<Item = &Arc<ManifestView>> {
        self.relations().indexes_of(digest).iter().map(|(_, index)| index)
    }

    /// The indexes that list more than summaries have: any of them may list any manifest.
    pub fn indexes_cut(&self) -> &[Arc<ManifestView>] {
        &self.relations().cut
    }

    /// The tags that by their names hold signatures of a manifest or the like.
    pub fn tags_about(&self, digest: &Digest) -> impl Iterator<Item = &Tag> {
        let stem = format!("{}-{}", digest.algorithm().as_str(), digest.encoded());
        let of_tag = move |what: &&str| format!("{stem}{what}").parse().ok().and_then(|tag| self.tag(&tag));
        let found: Vec<_> = ABOUT.iter().filter_map(of_tag).collect();
        found.into_iter().map(|tag| &tag.tag)
    }

    fn relations(&self) -> &Relations {
        self.relations.get_or_init(|| Relations::new(&self.tags, self.manifests.values()))
    }

    /// The manifests that refer to one, the newest first.
    pub fn referrers_of(&self, digest: &Digest) -> &[Arc<ManifestView>] {
        self.referrers.get(digest).map(Vec::as_slice).unwrap_or_default()
    }

    /// The tag pushed last, of those that are no signature or the like.
    pub fn newest(&self) -> Option<&TagView> {
        self.newest.map(|place| &self.tags[place])
    }

    /// The bytes of all images as if none shared a layer.
    pub fn logical_bytes(&self) -> u64 {
        self.logical
    }

    /// The bytes stored for it, each blob once.
    pub fn stored_bytes(&self) -> u64 {
        self.stored
    }

    /// Whether nothing is stored under the name: what is left of a repository when all of it was deleted, or the
    /// beginning of a first push.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.manifests.is_empty()
    }

    /// The tags in an order, each as its place in [`Self::tags`]. Made once for each view.
    pub fn ordered(&self, order: TagOrder) -> &[u32] {
        let index = match order {
            TagOrder::Name => 0,
            TagOrder::Pushed => 1,
            TagOrder::Created => 2,
            TagOrder::Size => 3,
        };
        self.orders[index].get_or_init(|| self.sort(order))
    }

    fn sort(&self, order: TagOrder) -> Box<[u32]> {
        let count = u32::try_from(self.tags.len()).unwrap_or(u32::MAX);
        let mut places: Vec<u32> = (0..count).collect();
        let tag = |place: &u32| &self.tags[*place as usize];
        let manifest = |place: &u32| tag(place).manifest.as_deref();
        match order {
            TagOrder::Name => {
                places.sort_by_cached_key(|place| Reverse(version_key(tag(place).tag.as_str())));
            }
            TagOrder::Pushed => places.sort_by_key(|place| Reverse(tag(place).pushed)),
            TagOrder::Created => {
                places.sort_by_key(|place| Reverse(manifest(place).and_then(|manifest| manifest.created)));
            }
            TagOrder::Size => {
                places.sort_by_key(|place| Reverse(manifest(place).map(|manifest| manifest.size)));
            }
        }
        places.into()
    }
}
