//! What is around a manifest in its repository: other tags of it, indexes that list it, what refers to it.

use super::rows::{PageLink, ReferrerRow};
use crate::{
    oci::{Digest, Reference},
    registry::{RepositoryView, TagOrder},
    ui::{address::Target, display::ShownDigest},
};

/// Most of each shown.
const SHOWN: usize = 100;

/// See the module.
pub(super) struct Surroundings {
    /// Other tags that name it.
    pub(super) tags: Vec<PageLink>,
    /// Tags to compare it with: those pushed last.
    pub(super) others: Vec<String>,
    pub(super) indexes: Vec<PageLink>,
    pub(super) referrers: Vec<ReferrerRow>,
    pub(super) more_referrers: bool,
}

impl Surroundings {
    pub(super) fn of(view: &RepositoryView, digest: &Digest, reference: &Reference) -> Self {
        let name = view.name();
        let own = |text: &str| matches!(reference, Reference::Tag(tag) if tag.as_str() == text);
        let tags = view.tags_of(digest).filter(|tag| !own(tag.as_str())).take(SHOWN);
        let indexes = view.indexes_of(digest).take(SHOWN).map(|index| {
            let tag = view.tags_of(&index.digest).next().cloned();
            let text =
                tag.as_ref().map_or_else(|| ShownDigest::new(&index.digest).short, ToString::to_string);
            let reference = tag.map_or_else(|| Reference::Digest(index.digest.clone()), Reference::Tag);
            PageLink { text, href: Target::Image(name.clone(), reference).path() }
        });
        let mut referring = view.referrers_of(digest);
        let mut referrers: Vec<_> =
            referring.by_ref().take(SHOWN).map(|referrer| ReferrerRow::new(name, referrer, None)).collect();
        // What older cosign keeps under a tag of its own.
        for suffix in ["sig", "att", "sbom"] {
            let tag = format!("{}-{}.{suffix}", digest.algorithm().as_str(), digest.encoded());
            let found = tag.parse().ok().and_then(|tag| view.tag(&tag));
            if let Some((tag, manifest)) = found.and_then(|tag| Some((tag, tag.manifest.as_ref()?))) {
                referrers.push(ReferrerRow::new(name, manifest, Some(&tag.tag)));
            }
        }
        let newest = view.ordered(TagOrder::Pushed).iter();
        let others = newest
            .map(|place| &view.tags()[*place as usize])
            .filter(|tag| !own(tag.tag.as_str()) && !tag.is_about_another);
        Self {
            tags: tags.map(|tag| PageLink::of_tag(name, tag)).collect(),
            others: others.take(SHOWN).map(|tag| tag.tag.to_string()).collect(),
            indexes: indexes.collect(),
            more_referrers: referring.len() > 0,
            referrers,
        }
    }
}
