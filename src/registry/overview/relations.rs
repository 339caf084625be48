//! Who names and who lists a manifest of a repository, found without a look at all of it.

use std::{cmp::Ordering, sync::Arc};

use super::{manifest_view::ManifestView, tag_view::TagView};
use crate::oci::Digest;

/// Made once for a view, when somebody asks.
#[derive(Debug)]
pub(super) struct Relations {
    /// Places of the tags by what they name, those of one manifest in the order of the tags.
    tags: Box<[u32]>,
    /// What is listed, with the index that lists it, in order.
    listed: Box<[(Digest, Arc<ManifestView>)]>,
    /// The indexes of which not all is known that they list.
    pub(super) cut: Vec<Arc<ManifestView>>,
}

impl Relations {
    pub(super) fn new<'a>(
        tags: &[TagView],
        manifests: impl Iterator<Item = &'a Arc<ManifestView>> + Clone,
    ) -> Self {
        let mut places: Vec<u32> = (0..u32::try_from(tags.len()).unwrap_or(u32::MAX)).collect();
        places.sort_by(|one, other| tags[*one as usize].digest.cmp(&tags[*other as usize].digest));
        let children = |index: &'a Arc<ManifestView>| {
            index.children.iter().map(move |child| (child.clone(), index.clone()))
        };
        let mut listed: Vec<_> = manifests.clone().flat_map(children).collect();
        listed.sort_by(|one, other| (&one.0, &one.1.digest).cmp(&(&other.0, &other.1.digest)));
        listed.dedup_by(|one, other| one.0 == other.0 && one.1.digest == other.1.digest);
        let cut = manifests.filter(|manifest| manifest.lists_more).cloned().collect();
        Self { tags: places.into(), listed: listed.into(), cut }
    }

    /// Places of the tags that name a manifest.
    pub(super) fn tags_of(&self, tags: &[TagView], digest: &Digest) -> &[u32] {
        run(&self.tags, |place| tags[*place as usize].digest.cmp(digest))
    }

    /// The indexes that list a manifest.
    pub(super) fn indexes_of(&self, digest: &Digest) -> &[(Digest, Arc<ManifestView>)] {
        run(&self.listed, |(child, _)| child.cmp(digest))
    }
}

/// The part of a sorted list that is equal to what `against` compares with.
fn run<T>(sorted: &[T], against: impl Fn(&T) -> Ordering) -> &[T] {
    let start = sorted.partition_point(|entry| against(entry).is_lt());
    let rest = &sorted[start..];
    &rest[..rest.partition_point(|entry| against(entry).is_eq())]
}
