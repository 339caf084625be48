//! A repository with all its tags and manifests, as it was a moment ago.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    manifest_names::ManifestNames,
    manifest_view::ManifestView,
    manifests::{self, Manifests},
    rows::Rows,
    tag_view::{ABOUT, TagOrder, TagView, read_manifest},
    touched::Changes,
};
use crate::{
    oci::{Digest, RepositoryName, Tag},
    registry::summaries::Summarizer,
    storage::{Names, Storage, StorageError},
};

/// After this all of a repository is read again: a registry:2 may have moved tags.
const OLD_AFTER: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug)]
pub struct RepositoryView {
    name: RepositoryName,
    /// In byte order.
    tags: Rows<TagView>,
    pub(super) manifests: Arc<Manifests>,
    tag_names: Names,
    manifest_names: ManifestNames,
    /// When all of it was read.
    read_at: Instant,
}

impl RepositoryView {
    fn empty(name: &RepositoryName) -> Self {
        Self {
            name: name.clone(),
            tags: Rows::default(),
            manifests: Arc::default(),
            tag_names: Names::default(),
            manifest_names: ManifestNames::none(),
            // What is moved from here on may be seen or not.
            read_at: Instant::now(),
        }
    }

    /// Reads a repository. Of `known` is taken what cannot have changed: all but what was `touched`, and names that came
    /// or are gone.
    pub(super) fn read(
        storage: &Storage,
        summarizer: &Summarizer,
        name: &RepositoryName,
        known: Option<&Arc<Self>>,
        touched: &Changes,
    ) -> Result<Option<Arc<Self>>, StorageError> {
        let known = known.cloned().unwrap_or_else(|| Arc::new(Self::empty(name)));
        let Some(tag_names) = storage.tag_names(name)? else { return Ok(None) };
        let mut manifest_names = ManifestNames::read(storage, name, &known.manifest_names)?;
        let is_named_anew = known.may_have_others(&manifest_names);
        if touched.is_empty() && known.has_tag_names(&tag_names) && !is_named_anew {
            return Ok(Some(known));
        }
        let mut doubtful = known.differently_there(storage, &touched.manifests)?;
        if is_named_anew {
            manifest_names.look();
            let there = known.manifests().map(|manifest| &manifest.digest);
            doubtful.extend(difference(there, manifest_names.digests()));
        }
        let changes = known.manifests_changed(storage, summarizer, doubtful)?;
        let changed = known.tags_changed(&tag_names, changes.keys(), &touched.tags);
        let manifests = known.manifests.amended(changes);
        let read = |tag: Tag| {
            let now = TagView::read(storage, name, &tag, |digest| Ok(manifests.get(digest).cloned()))?;
            Ok((tag, now.map(Arc::new)))
        };
        let changes: Vec<_> = changed.into_iter().map(read).collect::<Result<_, StorageError>>()?;
        let (name, tags, read_at) = (name.clone(), known.tags.amended(changes), known.read_at);
        Ok(Some(Arc::new(Self { name, tags, manifests, tag_names, manifest_names, read_at })))
    }

    /// Whether other manifests may be there than these, by their names: some of the names may be new or gone, or the
    /// manifest of one come late.
    fn may_have_others(&self, names: &ManifestNames) -> bool {
        !names.is_same_as(&self.manifest_names)
            || names.count() != self.manifest_count() && names.may_be_late(Instant::now())
    }

    /// Those of some manifests that are there and were not, or the other way round. Reads none.
    fn differently_there(
        &self,
        storage: &Storage,
        touched: &HashSet<Digest>,
    ) -> Result<BTreeSet<Digest>, StorageError> {
        let mut found = BTreeSet::new();
        for digest in touched {
            if storage.has_manifest(&self.name, digest)? != self.manifest(digest).is_some() {
                found.insert(digest.clone());
            }
        }
        Ok(found)
    }

    /// The manifests that changed, of those that may have. What an index comes to depends on which of those that it
    /// lists are there.
    fn manifests_changed(
        &self,
        storage: &Storage,
        summarizer: &Summarizer,
        doubtful: BTreeSet<Digest>,
    ) -> Result<manifests::Changes, StorageError> {
        let mut changes = BTreeMap::new();
        let mut unread: Vec<Digest> = doubtful.into_iter().collect();
        while let Some(digest) = unread.pop() {
            if changes.contains_key(&digest) {
                continue;
            }
            let now = read_manifest(storage, summarizer, &self.name, &digest)?;
            if now.is_some() || self.manifest(&digest).is_some() {
                let indexes = self.indexes_of(&digest).chain(self.indexes_cut());
                unread.extend(indexes.map(|index| index.digest.clone()));
                changes.insert(digest, now);
            }
        }
        Ok(changes)
    }

    /// The tags to be read: by these names, of which some may be new or gone, and for the manifests that changed.
    fn tags_changed<'a>(
        &self,
        names: &Names,
        manifests: impl Iterator<Item = &'a Digest>,
        touched: &HashSet<Tag>,
    ) -> BTreeSet<Tag> {
        let mut changed = BTreeSet::new();
        if !(self.has_tag_names(names) && names.count() == self.tags().len()) {
            let named = names.iter().filter_map(|name| name.parse().ok());
            changed = difference(self.tags().iter().map(|tag| &tag.tag), named);
        }
        changed.extend(touched.iter().cloned());
        changed.extend(manifests.flat_map(|digest| self.tags_of(digest)).cloned());
        changed
    }

    fn has_tag_names(&self, names: &Names) -> bool {
        self.tag_names.is_same_as(names)
    }

    pub(super) fn is_old(&self) -> bool {
        self.read_at.elapsed() > OLD_AFTER
    }

    pub(super) fn read_at(&self) -> Instant {
        self.read_at
    }

    /// About how many bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        let manifests: usize = self.manifests().map(|manifest| manifest.weight()).sum();
        500 + self.tags.all().len() * 280 + manifests + self.manifests.blobs.len() * 24
    }

    /// The repository.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Its tags in byte order.
    pub fn tags(&self) -> &[Arc<TagView>] {
        self.tags.all()
    }

    /// A tag.
    pub fn tag(&self, tag: &Tag) -> Option<&Arc<TagView>> {
        self.tags.get(tag)
    }

    /// A manifest it has.
    pub fn manifest(&self, digest: &Digest) -> Option<&Arc<ManifestView>> {
        self.manifests.get(digest)
    }

    /// Its manifests, by digest.
    pub fn manifests(&self) -> impl Iterator<Item = &Arc<ManifestView>> {
        self.manifests.all().iter()
    }

    /// How many manifests it has.
    pub fn manifest_count(&self) -> usize {
        self.manifests.all().len()
    }

    /// Whether there are tags that only hold signatures and the like: for what need not be looked for where there are
    /// none.
    pub fn has_tags_about_others(&self) -> bool {
        self.tags.totals().about_others > 0
    }

    /// The tags that name a manifest, in byte order.
    pub fn tags_of<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = &'a Tag> {
        let places = self.tags.ordered(TagOrder::Digest);
        let tag = |place: &u32| &self.tags()[*place as usize];
        let start = places.partition_point(|place| tag(place).digest < *digest);
        let named = places[start..].iter().map(tag);
        named.take_while(|tag| tag.digest == *digest).map(|tag| &tag.tag)
    }

    /// The indexes that list a manifest, as far as summaries have what they list.
    pub fn indexes_of(&self, digest: &Digest) -> impl Iterator<Item = &Arc<ManifestView>> {
        self.manifests.indexes_of(digest)
    }

    /// The indexes that list more than summaries have: any of them may list any manifest.
    pub fn indexes_cut(&self) -> &[Arc<ManifestView>] {
        &self.manifests.cut
    }

    /// The tags that by their names hold signatures of a manifest or the like.
    pub fn tags_about(&self, digest: &Digest) -> impl Iterator<Item = &Tag> {
        let stem = format!("{}-{}", digest.algorithm().as_str(), digest.encoded());
        let of_tag = move |what: &&str| format!("{stem}{what}").parse().ok().and_then(|tag| self.tag(&tag));
        let found: Vec<_> = ABOUT.iter().filter_map(of_tag).collect();
        found.into_iter().map(|tag| &tag.tag)
    }

    /// The manifests that refer to one, the newest first.
    pub fn referrers_of(&self, digest: &Digest) -> impl ExactSizeIterator<Item = &Arc<ManifestView>> {
        self.manifests.referrers_of(digest)
    }

    /// The tag pushed last, of those that are no signature or the like.
    pub fn newest(&self) -> Option<&Arc<TagView>> {
        let newest = self.ordered(TagOrder::Pushed).iter().map(|place| &self.tags()[*place as usize]);
        newest.into_iter().find(|tag| !tag.is_about_another)
    }

    /// The bytes of all images as if none shared a layer.
    pub fn logical_bytes(&self) -> u64 {
        u64::try_from(self.tags.totals().logical).unwrap_or(u64::MAX)
    }

    /// The bytes stored for it, each blob once.
    pub fn stored_bytes(&self) -> u64 {
        self.manifests.stored_bytes()
    }

    /// Whether nothing is stored under the name: what is left of a repository when all of it was deleted, or the
    /// beginning of a first push.
    pub fn is_empty(&self) -> bool {
        self.tags().is_empty() && self.manifests.all().is_empty()
    }

    /// The tags in an order, each as its place in [`Self::tags`].
    pub fn ordered(&self, order: TagOrder) -> &[u32] {
        self.tags.ordered(order)
    }
}

/// What came to sorted entries, and what is gone of them.
fn difference<'a, T: Clone + Ord + 'a>(
    known: impl Iterator<Item = &'a T>,
    now: impl Iterator<Item = T>,
) -> BTreeSet<T> {
    let (mut changed, mut known) = (BTreeSet::new(), known.peekable());
    for entry in now {
        while let Some(gone) = known.next_if(|old| **old < entry) {
            changed.insert(gone.clone());
        }
        if known.next_if(|old| **old == entry).is_none() {
            changed.insert(entry);
        }
    }
    changed.extend(known.cloned());
    changed
}
