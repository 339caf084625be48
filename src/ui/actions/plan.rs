//! What an action will take away, what stays, and what it means for the rest of the repository.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::super::{
    Ui,
    display::{self, ShownDigest},
    image::kind_of_view,
    response::Failure,
    sight::Sight,
    visitor::Viewer,
};
use crate::{
    oci::{Algorithm, Digest, RepositoryName, Tag},
    registry::RepositoryView,
};

/// A tag that goes, with what it names now.
pub(super) struct GoingTag {
    pub(super) tag: Tag,
    pub(super) digest: Digest,
    pub(super) shown: ShownDigest,
}

/// What becomes of an image that loses tags.
pub(super) struct Effect {
    pub(super) digest: ShownDigest,
    pub(super) kind: String,
    pub(super) size: String,
    /// Tags that go on naming it.
    pub(super) kept_tags: Vec<String>,
    /// Indexes that list it.
    pub(super) indexes: Vec<String>,
    /// What refers to it.
    pub(super) referrers: Option<String>,
}

/// Tags as they are, each once; those that are gone are left out.
pub(super) fn going<'a>(view: &RepositoryView, tags: impl Iterator<Item = &'a str>) -> Vec<GoingTag> {
    let tags: BTreeSet<Tag> = tags.filter_map(|tag| tag.parse().ok()).take(super::MAX_TAGS).collect();
    let found = tags.iter().filter_map(|tag| view.tag(tag));
    found
        .map(|tag| GoingTag {
            tag: tag.tag.clone(),
            digest: tag.digest.clone(),
            shown: ShownDigest::new(&tag.digest),
        })
        .collect()
}

/// What becomes of each image that `going` names.
pub(super) fn effects(view: &RepositoryView, going: &[GoingTag]) -> Vec<Effect> {
    let digests: BTreeSet<&Digest> = going.iter().map(|tag| &tag.digest).collect();
    let tags = tag_set(going);
    let effect = |digest: &Digest| {
        let manifest = view.manifest(digest);
        let kept_tags = view.tags_of(digest).filter(|tag| !tags.contains(tag));
        let referrers = view.referrers_of(digest).len();
        Effect {
            digest: ShownDigest::new(digest),
            kind: manifest.map_or_else(|| "manifest".to_owned(), |manifest| kind_of_view(manifest)),
            size: manifest.map(|manifest| display::size(manifest.size)).unwrap_or_default(),
            kept_tags: kept_tags.map(ToString::to_string).collect(),
            indexes: indexes(view, digest),
            referrers: (referrers > 0).then(|| display::counted(referrers, "referrer", "referrers")),
        }
    };
    digests.into_iter().map(effect).collect()
}

/// What could go when `going` went: what has no tag then and is listed by nothing, and what only that lists.
pub(super) fn nameless(view: &RepositoryView, going: &[GoingTag]) -> Vec<Digest> {
    let tags = tag_set(going);
    let is_named = |digest: &Digest| view.tags_of(digest).any(|tag| !tags.contains(tag));
    let digests: BTreeSet<&Digest> = going.iter().map(|tag| &tag.digest).collect();
    let listed = |digest: &Digest| view.indexes_of(digest).next().is_some();
    let start: Vec<_> =
        digests.into_iter().filter(|digest| !is_named(digest) && !listed(digest)).cloned().collect();
    let more = only_listed_by(view, &start, is_named);
    start.into_iter().chain(more).collect()
}

fn tag_set(going: &[GoingTag]) -> HashSet<&Tag> {
    going.iter().map(|tag| &tag.tag).collect()
}

/// The indexes that list a manifest, by tag where they have one.
pub(super) fn indexes(view: &RepositoryView, digest: &Digest) -> Vec<String> {
    view.indexes_of(digest).map(|index| text_of(view, &index.digest)).collect()
}

/// The other indexes of which not all is known that they list, by tag where they have one.
pub(super) fn indexes_cut(view: &RepositoryView, digest: &Digest) -> Vec<String> {
    let others = view.indexes_cut().iter().filter(|index| index.digest != *digest);
    others.map(|index| text_of(view, &index.digest)).collect()
}

fn text_of(view: &RepositoryView, digest: &Digest) -> String {
    view.tags_of(digest).next().map_or_else(|| ShownDigest::new(digest).short, ToString::to_string)
}

/// What the manifests `gone` list that has no name and that nothing else lists, and what that lists in turn. Nothing,
/// when there is another index of which not all is known that it lists.
pub(super) fn only_listed_by(
    view: &RepositoryView,
    gone: &[Digest],
    is_named: impl Fn(&Digest) -> bool,
) -> Vec<Digest> {
    let mut known: HashSet<Digest> = gone.iter().cloned().collect();
    if view.indexes_cut().iter().any(|index| !known.contains(&index.digest)) {
        return Vec::new();
    }
    let mut waiting = gone.to_vec();
    let mut found = Vec::new();
    while let Some(manifest) = waiting.pop() {
        let Some(manifest) = view.manifest(&manifest) else { continue };
        for child in &manifest.children {
            let is_needed =
                is_named(child) || view.indexes_of(child).any(|other| !known.contains(&other.digest));
            if !is_needed && view.manifest(child).is_some() && known.insert(child.clone()) {
                found.push(child.clone());
                waiting.push(child.clone());
            }
        }
    }
    found
}

/// What is about `gone` and stays: manifests that refer to it, and tags that by their names hold signatures of it.
pub(super) fn about(view: &RepositoryView, gone: &[Digest]) -> Vec<String> {
    let going: HashSet<&Digest> = gone.iter().collect();
    let mut found: BTreeSet<String> = BTreeSet::new();
    for digest in gone {
        let referrers = view.referrers_of(digest);
        let staying = referrers.filter(|referrer| !going.contains(&referrer.digest));
        found.extend(staying.map(|referrer| {
            format!("{} {}", kind_of_view(referrer), ShownDigest::new(&referrer.digest).short)
        }));
        found.extend(view.tags_about(digest).map(ToString::to_string));
    }
    found.into_iter().collect()
}

/// What was there when it was asked, as a form carries it.
pub(super) fn state<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = parts.into_iter().collect();
    Digest::of(Algorithm::Sha256, all.join("\n").as_bytes()).encoded().to_owned()
}

/// The bytes that only `gone` needs, in words: no more than a bound, since what sees nobody may need them too. Who may
/// not see every repository is not told what the others have.
pub(super) async fn freed(
    ui: &Ui,
    viewer: &Viewer,
    name: &RepositoryName,
    gone: &[Digest],
) -> Result<String, Failure> {
    let sight = Sight::of(ui, viewer);
    let freed = ui.registry.bytes_freed(name, gone, move |other| sight.sees(other)).await?;
    let bytes = format!("at most {}", display::size(freed.found));
    Ok(bytes
        + match (freed.is_complete, freed.lacks_room) {
            (true, _) => "",
            (false, true) => " (there is no room in memory for what other repositories need)",
            (false, false) => " (what other repositories need is still being read)",
        })
}

/// The view of a repository that the viewer may delete from.
pub(super) async fn view(
    ui: &Ui,
    viewer: &Viewer,
    repository: &str,
) -> Result<(RepositoryName, Arc<RepositoryView>), Failure> {
    let name: RepositoryName = repository.parse().map_err(|_| Failure::NotFound)?;
    let view = ui.view_for(viewer, &name).await?.ok_or(Failure::NotFound)?;
    if !viewer.may_delete(ui, &name) {
        return Err(Failure::NotYours);
    }
    Ok((name, view))
}
