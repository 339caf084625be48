//! Tags as rows, each with what it names and what there is about that.

use super::{
    address::Target,
    display::{self, Moment, ShownDigest},
    image::{kind_of_view, short_kind},
};
use crate::{
    oci::{Digest, Reference, Tag},
    registry::{JournalEntry, ManifestKindView, RepositoryView, TagView},
};

/// Platforms written out in a row.
const SHOWN_PLATFORMS: usize = 4;

/// A tag as a row of its repository's page.
pub(super) struct TagRow {
    pub(super) tag: String,
    pub(super) href: String,
    pub(super) pull: String,
    pub(super) digest: ShownDigest,
    pub(super) digest_href: String,
    pub(super) kind: String,
    pub(super) platforms: Vec<String>,
    pub(super) more_platforms: usize,
    pub(super) size: Option<String>,
    pub(super) size_range: Option<(String, String)>,
    pub(super) created: Option<Moment>,
    pub(super) pushed: Option<Moment>,
    pub(super) by: Option<String>,
    pub(super) marks: Vec<String>,
}

/// The plain way to get what a tag names.
pub(super) fn pull_command(host: &str, view: &RepositoryView, tag: &TagView) -> String {
    let name = view.name();
    match tag.manifest.as_ref().map(|manifest| &manifest.kind) {
        Some(ManifestKindView::Artifact(kind)) if short_kind(kind) == Some("Helm chart") => {
            format!("helm pull oci://{host}/{name} --version {}", tag.tag.as_str().replace('_', "+"))
        }
        Some(ManifestKindView::Artifact(_)) => format!("oras pull {host}/{name}:{}", tag.tag),
        _ => format!("docker pull {host}/{name}:{}", tag.tag),
    }
}

impl TagRow {
    pub(super) fn new(
        host: &str,
        view: &RepositoryView,
        tag: &TagView,
        entry: Option<&JournalEntry>,
    ) -> Self {
        let name = view.name();
        let page = |reference| Target::Image(name.clone(), reference).path();
        let manifest = tag.manifest.as_deref();
        let platforms = manifest.map(|manifest| manifest.platforms.as_slice()).unwrap_or_default();
        Self {
            tag: tag.tag.to_string(),
            href: page(Reference::Tag(tag.tag.clone())),
            pull: pull_command(host, view, tag),
            digest: ShownDigest::new(&tag.digest),
            digest_href: page(Reference::Digest(tag.digest.clone())),
            kind: manifest.map_or_else(|| "not shown".to_owned(), kind_of_view),
            platforms: platforms.iter().take(SHOWN_PLATFORMS).cloned().collect(),
            more_platforms: platforms.len().saturating_sub(SHOWN_PLATFORMS),
            size: manifest.map(|manifest| display::size(manifest.size)),
            size_range: manifest.and_then(|manifest| display::size_range(manifest.size_range)),
            created: manifest.and_then(|manifest| manifest.created).and_then(Moment::new),
            pushed: Moment::of_system(tag.pushed),
            by: entry.and_then(|entry| entry.user.clone()),
            marks: marks(view, &tag.digest),
        }
    }
}

/// What there is about an image: signatures, bills of materials, other referrers.
fn marks(view: &RepositoryView, digest: &Digest) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |text: &str| {
        if !found.iter().any(|known| known == text) {
            found.push(text.to_owned());
        }
    };
    let kept_by_tag = [("sig", "signed"), ("sbom", "SBOM"), ("att", "attested")];
    for (suffix, text) in kept_by_tag.into_iter().filter(|_| view.has_tags_about_others()) {
        let tag = format!("{}-{}.{suffix}", digest.algorithm().as_str(), digest.encoded());
        if tag.parse::<Tag>().is_ok_and(|tag| view.tag(&tag).is_some()) {
            add(text);
        }
    }
    for referrer in view.referrers_of(digest) {
        let ManifestKindView::Artifact(kind) = &referrer.kind else { continue };
        add(match short_kind(kind) {
            Some("cosign signature" | "Notary signature" | "Sigstore bundle") => "signed",
            Some("SPDX bill of materials" | "CycloneDX bill of materials") => "SBOM",
            Some("in-toto attestation") => "attested",
            _ => "referrers",
        });
    }
    found
}
