//! The manifests of a repository, the blobs they need, and which of them name each other.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    manifest_view::{BlobKey, ManifestView},
    merged::merged,
};
use crate::oci::Digest;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Manifests {
    /// By digest.
    all: Vec<Arc<ManifestView>>,
    /// What is stored for them, each blob once, in order.
    pub(super) blobs: Vec<(BlobKey, u64)>,
    stored: u64,
    /// What is referred to with what refers to it; of one manifest the newest first.
    referrers: Vec<Named>,
    /// What is listed, with the index that lists it.
    listed: Vec<Named>,
    /// The indexes that list more than summaries have: any of them may list any manifest.
    pub(super) cut: Vec<Arc<ManifestView>>,
}

/// A digest that a manifest names.
type Named = (Digest, Arc<ManifestView>);

/// Manifests that came or changed, and digests of which there is none any more.
pub(super) type Changes = BTreeMap<Digest, Option<Arc<ManifestView>>>;

impl Manifests {
    /// As they are after changes.
    pub(super) fn amended(self: &Arc<Self>, changes: Changes) -> Arc<Self> {
        if changes.is_empty() {
            return self.clone();
        }
        if !changes.keys().any(|digest| self.get(digest).is_some()) {
            return self.with(changes.into_values().flatten()).into();
        }
        // What was needed by these alone is known when all others are looked at.
        let kept = self.all.iter().filter(|manifest| !changes.contains_key(&manifest.digest));
        Self::default().with(kept.chain(changes.values().flatten()).cloned()).into()
    }

    fn with(&self, come: impl Iterator<Item = Arc<ManifestView>>) -> Self {
        let come: Vec<_> = come.collect();
        let new = come.iter().flat_map(|manifest| &*manifest.blobs).copied();
        // Of a blob for which two manifests claim different sizes the smaller counts.
        let mut blobs = merged(&self.blobs, new.collect(), Ord::cmp);
        blobs.dedup_by_key(|blob| blob.0);
        let subject = |manifest: &Arc<ManifestView>| Some((manifest.subject.clone()?, manifest.clone()));
        let children = |index: &Arc<ManifestView>| {
            // Each once, however often it is listed.
            let children: BTreeSet<&Digest> = index.children.iter().collect();
            children.into_iter().map(|child| (child.clone(), index.clone())).collect::<Vec<_>>()
        };
        let cut = come.iter().filter(|manifest| manifest.lists_more).cloned().collect();
        Self {
            stored: blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.1)),
            blobs,
            referrers: merged(&self.referrers, come.iter().filter_map(subject).collect(), newest_first),
            listed: merged(&self.listed, come.iter().flat_map(children).collect(), by_digest),
            cut: merged(&self.cut, cut, |one, other| one.digest.cmp(&other.digest)),
            all: merged(&self.all, come, |one, other| one.digest.cmp(&other.digest)),
        }
    }

    /// All of them, by digest.
    pub(super) fn all(&self) -> &[Arc<ManifestView>] {
        &self.all
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<&Arc<ManifestView>> {
        let place = self.all.binary_search_by(|known| known.digest.cmp(digest)).ok()?;
        Some(&self.all[place])
    }

    /// The bytes stored for them, each blob once.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.stored
    }

    pub(super) fn has_blob(&self, key: BlobKey) -> bool {
        self.blobs.binary_search_by_key(&key, |blob| blob.0).is_ok()
    }

    /// The manifests that refer to one, the newest first.
    pub(super) fn referrers_of(&self, digest: &Digest) -> impl ExactSizeIterator<Item = &Arc<ManifestView>> {
        of(&self.referrers, digest)
    }

    /// The indexes that list a manifest.
    pub(super) fn indexes_of(&self, digest: &Digest) -> impl ExactSizeIterator<Item = &Arc<ManifestView>> {
        of(&self.listed, digest)
    }
}

fn by_digest(one: &Named, other: &Named) -> Ordering {
    (&one.0, &one.1.digest).cmp(&(&other.0, &other.1.digest))
}

fn newest_first(one: &Named, other: &Named) -> Ordering {
    let by = |named: &Named| Reverse(named.1.created);
    (one.0.cmp(&other.0)).then(by(one).cmp(&by(other))).then(one.1.digest.cmp(&other.1.digest))
}

/// What names a digest.
fn of<'a>(
    sorted: &'a [Named],
    digest: &Digest,
) -> impl ExactSizeIterator<Item = &'a Arc<ManifestView>> + use<'a> {
    let start = sorted.partition_point(|named| named.0 < *digest);
    let rest = &sorted[start..];
    rest[..rest.partition_point(|named| named.0 == *digest)].iter().map(|named| &named.1)
}
