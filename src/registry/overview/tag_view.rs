//! A tag of a repository with what it names, and what its name says that it is about.

use std::{
    cmp::{Ordering, Reverse},
    sync::Arc,
    time::SystemTime,
};

use time::OffsetDateTime;

use super::{
    manifest_view::ManifestView,
    repository_view::RepositoryView,
    rows::Row,
    version_order::{Part, version_key},
};
use crate::{
    oci::{Digest, RepositoryName, Tag},
    registry::summaries::Summarizer,
    storage::{FileIdentity, Storage, StorageError},
};

/// A tag and what it names.
#[derive(Clone, Debug)]
pub struct TagView {
    /// The tag.
    pub tag: Tag,
    /// What it names.
    pub digest: Digest,
    /// When it was last written, by the clock of the file server.
    pub pushed: SystemTime,
    /// What that is; `None` when it cannot be read.
    pub manifest: Option<Arc<ManifestView>>,
    /// Whether its name says that it only holds a signature or the like.
    pub is_about_another: bool,
    file: Option<FileIdentity>,
}

/// How tags are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagOrder {
    /// By version, the highest first: `v1.10` before `v1.9`.
    Name,
    /// By the last push, the newest first.
    Pushed,
    /// By when the image was built, the newest first.
    Created,
    /// By size, the largest first.
    Size,
    /// By what they name.
    Digest,
}

/// Tags counted.
#[derive(Clone, Debug, Default)]
pub(super) struct TagTotals {
    /// Bytes of all images as if none shared a layer.
    pub(super) logical: u128,
    /// Tags that only hold signatures and the like.
    pub(super) about_others: usize,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TagKey {
    Version(Reverse<Vec<Part>>),
    Pushed(Reverse<SystemTime>),
    Created(Reverse<Option<OffsetDateTime>>),
    Size(Reverse<Option<u64>>),
    Digest(Digest),
}

impl Row for TagView {
    type Name = Tag;
    type Order = TagOrder;
    type Key = TagKey;
    type Totals = TagTotals;
    const ORDERS: &'static [TagOrder] =
        &[TagOrder::Name, TagOrder::Pushed, TagOrder::Created, TagOrder::Size, TagOrder::Digest];

    fn name(&self) -> &Tag {
        &self.tag
    }

    fn compare(one: &Tag, other: &Tag) -> Ordering {
        one.cmp(other)
    }

    fn key(&self, order: TagOrder) -> TagKey {
        let manifest = self.manifest.as_ref();
        match order {
            TagOrder::Name => TagKey::Version(Reverse(version_key(self.tag.as_str()))),
            TagOrder::Pushed => TagKey::Pushed(Reverse(self.pushed)),
            TagOrder::Created => TagKey::Created(Reverse(manifest.and_then(|manifest| manifest.created))),
            TagOrder::Size => TagKey::Size(Reverse(manifest.map(|manifest| manifest.size))),
            TagOrder::Digest => TagKey::Digest(self.digest.clone()),
        }
    }

    fn add_to(&self, totals: &mut TagTotals) {
        totals.logical += self.logical();
        totals.about_others += usize::from(self.is_about_another);
    }

    fn take_from(&self, totals: &mut TagTotals) {
        totals.logical -= self.logical();
        totals.about_others -= usize::from(self.is_about_another);
    }
}

impl TagView {
    fn logical(&self) -> u128 {
        self.manifest.as_ref().map_or(0, |manifest| manifest.size.into())
    }

    pub(super) fn read(
        storage: &Storage,
        name: &RepositoryName,
        tag: &Tag,
        manifests: impl FnOnce(&Digest) -> Result<Option<Arc<ManifestView>>, StorageError>,
    ) -> Result<Option<Self>, StorageError> {
        let Some(link) = storage.read_tag_link(name, tag)? else { return Ok(None) };
        let manifest = manifests(&link.digest)?;
        let (digest, pushed, file) = (link.digest, link.written, link.file);
        let is_about_another = described_by_tag(tag.as_str()).is_some();
        Ok(Some(Self { tag: tag.clone(), digest, pushed, manifest, is_about_another, file }))
    }

    /// The tag as it is now; `None` when it is gone.
    pub(super) fn again(
        &self,
        storage: &Storage,
        summarizer: &Summarizer,
        view: &RepositoryView,
    ) -> Result<Option<Self>, StorageError> {
        Self::read(storage, view.name(), &self.tag, |digest| match view.manifest(digest) {
            Some(manifest) => Ok(Some(manifest.clone())),
            None => read_manifest(storage, summarizer, view.name(), digest),
        })
    }

    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.digest == other.digest && self.file == other.file
    }
}

pub(super) fn read_manifest(
    storage: &Storage,
    summarizer: &Summarizer,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Option<Arc<ManifestView>>, StorageError> {
    if !storage.has_manifest(name, digest)? {
        return Ok(None);
    }
    let summary = summarizer.summarize(storage, name, digest)?;
    Ok(summary.map(|summary| Arc::new(ManifestView::new(&summary))))
}

/// How the names of tags end that hold something about what the name begins with.
pub(super) const ABOUT: [&str; 4] = ["", ".sig", ".att", ".sbom"];

/// The digest that a tag of cosign's is about, and what it holds: `sha256-<hex>.sig`; nothing after the hex is the list
/// of referrers of clients of registry:2.
fn described_by_tag(tag: &str) -> Option<(Digest, &str)> {
    let (algorithm, rest) = tag.split_once('-')?;
    let (hex, what) = rest.split_once('.').unwrap_or((rest, ""));
    let digest = format!("{algorithm}:{hex}").parse().ok()?;
    ABOUT.iter().any(|known| known.trim_start_matches('.') == what).then_some((digest, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_about_images_are_known() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (tag, what) in [(format!("sha256-{hex}.sig"), Some("sig")), (format!("sha256-{hex}"), Some(""))] {
            assert_eq!(described_by_tag(&tag).map(|(_, what)| what.to_owned()).as_deref(), what);
        }
        for tag in ["latest", "sha256-12", "v1-2", &format!("sha256-{hex}.exe")] {
            assert_eq!(described_by_tag(tag), None, "{tag}");
        }
    }
}
