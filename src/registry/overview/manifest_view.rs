//! What a list shows of a manifest: a small part of its summary.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::{
    oci::{Algorithm, Digest},
    registry::image_summary::{ImageSummary, SummaryKind},
};

/// The first 16 bytes of a digest: enough to tell blobs apart in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlobKey(u64, u64);

impl BlobKey {
    pub(super) fn new(digest: &Digest) -> Self {
        let part = |range| u64::from_str_radix(&digest.encoded()[range], 16).unwrap_or_default();
        let (first, second) = (part(0..16), part(16..32));
        // The same bytes by another algorithm are stored once more.
        if digest.algorithm() == Algorithm::Sha256 { Self(first, second) } else { Self(!first, !second) }
    }
}

/// What a manifest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestKindView {
    /// A container image.
    Image,
    /// A list of manifests.
    Index,
    /// Something else, of this type.
    Artifact(Arc<str>),
}

/// A manifest in a list.
#[derive(Clone, Debug)]
pub struct ManifestView {
    /// Its digest.
    pub digest: Digest,
    /// What it is.
    pub kind: ManifestKindView,
    /// The platforms it runs on.
    pub platforms: Vec<String>,
    /// What a client transfers, in bytes; of an index, all children.
    pub size: u64,
    /// Of an index, the sizes of the smallest and the largest image.
    pub size_range: Option<(u64, u64)>,
    /// When it was built, as it claims.
    pub created: Option<OffsetDateTime>,
    /// What it refers to.
    pub subject: Option<Digest>,
    /// The manifests it lists.
    pub children: Vec<Digest>,
    /// Whether it lists more than a summary has.
    pub lists_more: bool,
    /// Its own size in bytes.
    pub manifest_size: u64,
    /// What it needs, itself included, each once and in order, with sizes in bytes.
    pub(super) blobs: Box<[(BlobKey, u64)]>,
}

impl ManifestView {
    pub(super) fn new(summary: &ImageSummary) -> Self {
        let (kind, size_range, children) = match &summary.kind {
            SummaryKind::Image(_) => (ManifestKindView::Image, None, Vec::new()),
            SummaryKind::Index(facts) => (
                ManifestKindView::Index,
                facts.size_range,
                facts.children.iter().map(|child| child.digest.clone()).collect(),
            ),
            SummaryKind::Artifact(facts) => {
                (ManifestKindView::Artifact(facts.artifact_type.as_str().into()), None, Vec::new())
            }
        };
        let own = (BlobKey::new(&summary.digest), summary.manifest_size);
        let needed = summary.blobs.iter().map(|(digest, size)| (BlobKey::new(digest), *size));
        let mut blobs: Vec<_> = needed.chain([own]).collect();
        blobs.sort_unstable();
        blobs.dedup_by_key(|blob| blob.0);
        Self {
            digest: summary.digest.clone(),
            kind,
            platforms: summary.platforms.clone(),
            size: summary.compressed_size,
            size_range,
            lists_more: matches!(&summary.kind, SummaryKind::Index(facts) if facts.child_count > facts.children.len()),
            created: summary.created,
            subject: summary.subject.clone(),
            children,
            manifest_size: summary.manifest_size,
            blobs: blobs.into(),
        }
    }

    /// About how many bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        400 + self.platforms.len() * 48 + self.children.len() * 120 + self.blobs.len() * 24
    }
}
