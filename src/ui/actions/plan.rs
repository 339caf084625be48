//! What an action will take away, what stays, and what it means for the rest of the repository.

use std::{collections::BTreeSet, sync::Arc};

use super::super::{
    Ui,
    display::{self, ShownDigest},
    image::kind_of_view,
    response::Failure,
    visitor::Viewer,
};
use crate::{
    oci::{Digest, RepositoryName, Tag},
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
    pub(super) referrers: usize,
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
    let goes = |tag: &&Tag| !going.iter().any(|going| going.tag == **tag);
    let effect = |digest: &Digest| {
        let manifest = view.manifest(digest);
        Effect {
            digest: ShownDigest::new(digest),
            kind: manifest.map_or_else(|| "manifest".to_owned(), |manifest| kind_of_view(manifest)),
            size: manifest.map(|manifest| display::size(manifest.size)).unwrap_or_default(),
            kept_tags: view.tags_of(digest).filter(goes).map(ToString::to_string).collect(),
            indexes: indexes(view, digest),
            referrers: view.referrers_of(digest).len(),
        }
    };
    digests.into_iter().map(effect).collect()
}

/// The indexes that list a manifest, by tag where they have one.
pub(super) fn indexes(view: &RepositoryView, digest: &Digest) -> Vec<String> {
    let name = |index: &Digest| {
        view.tags_of(index).next().map_or_else(|| ShownDigest::new(index).short, ToString::to_string)
    };
    view.indexes_of(digest).map(|index| name(&index.digest)).collect()
}

/// What an index lists that has no tag and that no other index lists, and what those list in turn.
pub(super) fn only_listed_by(view: &RepositoryView, index: &Digest) -> Vec<Digest> {
    let mut gone = vec![index.clone()];
    let mut at = 0;
    while at < gone.len() {
        let children = view.manifest(&gone[at]).map(|manifest| manifest.children.clone()).unwrap_or_default();
        for child in children {
            let needed = view.tags_of(&child).next().is_some()
                || view.indexes_of(&child).any(|other| !gone.contains(&other.digest));
            if !needed && !gone.contains(&child) && view.manifest(&child).is_some() {
                gone.push(child);
            }
        }
        at += 1;
    }
    gone.split_off(1)
}

/// The bytes that only `gone` needs, in words. Who may not see every repository is not told what the others have.
pub(super) async fn freed(
    ui: &Ui,
    viewer: &Viewer,
    name: &RepositoryName,
    gone: &[Digest],
) -> Result<String, Failure> {
    let sees_all = viewer.may_see_all(ui);
    let wanted = |other: &RepositoryName| sees_all || viewer.may_see(ui, other);
    let freed = ui.registry.bytes_freed(name, gone, wanted).await?;
    let bytes = display::size(freed.found);
    Ok(match (freed.is_complete, sees_all) {
        (true, true) => bytes,
        (true, false) => format!("at most {bytes}"),
        (false, _) => format!("at most {bytes} (what other repositories need is still being read)"),
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
