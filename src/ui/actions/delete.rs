//! Deleting an image: the manifest with every tag of it and, if wanted, what only it lists.

use std::{collections::HashSet, sync::Arc};

use askama::Template;

use super::{
    super::{
        Ui,
        display::{self, ShownDigest},
        fields::Fields,
        image::kind_of_view,
        response::Failure,
        visitor::{Frame, Viewer},
    },
    Head, Question, TYPED_FROM, plan,
};
use crate::{
    oci::{Digest, RepositoryName, Tag},
    registry::{Deletion, RepositoryView},
};

/// Manifests and tags named that are about what goes.
const SHOWN_ABOUT: usize = 60;

/// What the page is called, and where its form goes.
const PAGE: (&str, &str) = ("Delete an image", "/ui/-/delete");

#[derive(Template)]
#[template(path = "delete.html")]
pub(in crate::ui) struct DeletePage {
    frame: Frame,
    head: Head,
    digest: ShownDigest,
    kind: String,
    tags: Vec<String>,
    /// Indexes that list it and will lack it.
    indexes: Vec<String>,
    /// Indexes of which not all is known that they list.
    indexes_cut: Vec<String>,
    /// What refers to it or to what goes with it.
    about: Vec<String>,
    more_about: usize,
    /// What only it lists.
    only_listed: Option<String>,
    freed: String,
    freed_alone: String,
    state: String,
}

/// What goes.
struct Going {
    name: RepositoryName,
    view: Arc<RepositoryView>,
    digest: Digest,
    tags: Vec<Tag>,
    /// What only it lists.
    only_listed: Vec<Digest>,
}

impl Going {
    async fn find(ui: &Ui, viewer: &Viewer, fields: &Fields) -> Result<Self, Failure> {
        let (name, view) = plan::view(ui, viewer, fields.get("repository")).await?;
        let digest: Digest = fields.get("digest").parse().map_err(|_| Failure::NotFound)?;
        view.manifest(&digest).ok_or(Failure::NotFound)?;
        let is_named = |child: &Digest| view.tags_of(child).next().is_some();
        let only_listed = plan::only_listed_by(&view, std::slice::from_ref(&digest), is_named);
        let tags = view.tags_of(&digest).cloned().collect();
        Ok(Self { name, digest, tags, only_listed, view })
    }

    /// What the page says that goes, and that will lack it: what is agreed to.
    fn state(&self) -> String {
        let mut listed: Vec<_> = self.only_listed.iter().map(Digest::as_str).collect();
        listed.sort_unstable();
        let indexes = self.view.indexes_of(&self.digest).map(|index| index.digest.as_str());
        let tags = self.tags.iter().map(Tag::as_str);
        plan::state(
            [self.digest.as_str(), "tags"]
                .into_iter()
                .chain(tags)
                .chain(["lists"])
                .chain(listed)
                .chain(["in"])
                .chain(indexes),
        )
    }
}

impl Question for DeletePage {
    async fn ask(ui: &Ui, viewer: &Viewer, fields: &Fields, message: &'static str) -> Result<Self, Failure> {
        let going = Going::find(ui, viewer, fields).await?;
        let (name, view, digest) = (&going.name, &going.view, &going.digest);
        let manifest = view.manifest(digest).ok_or(Failure::NotFound)?;
        let all: Vec<Digest> = std::iter::once(digest).chain(&going.only_listed).cloned().collect();
        let mut about = plan::about(view, &all);
        let more_about = about.len().saturating_sub(SHOWN_ABOUT);
        about.truncate(SHOWN_ABOUT);
        let listed = going.only_listed.len();
        let to_type = (going.tags.len() > TYPED_FROM).then_some("Many tags name it");
        Ok(Self {
            frame: viewer.frame.clone(),
            head: Head::new(name, PAGE, to_type, message),
            kind: kind_of_view(manifest),
            indexes: plan::indexes(view, digest),
            indexes_cut: plan::indexes_cut(view, digest),
            about,
            more_about,
            only_listed: (listed > 0).then(|| display::counted(listed, "manifest", "manifests")),
            freed: plan::freed(ui, viewer, name, &all).await?,
            freed_alone: plan::freed(ui, viewer, name, &all[..1]).await?,
            state: going.state(),
            tags: going.tags.iter().map(ToString::to_string).collect(),
            digest: ShownDigest::new(digest),
        })
    }

    async fn carry_out(ui: &Arc<Ui>, viewer: &Viewer, fields: &Fields) -> Result<String, Failure> {
        delete(ui, viewer, fields).await
    }
}

async fn delete(ui: &Arc<Ui>, viewer: &Viewer, fields: &Fields) -> Result<String, Failure> {
    let going = Going::find(ui, viewer, fields).await?;
    let back = |sentence: &str| super::back(ui, viewer, &going.name, sentence);
    // What came meanwhile was not agreed to.
    if going.state() != fields.get("state") {
        return Ok(back(super::CHANGED));
    }
    if going.tags.len() > TYPED_FROM {
        super::is_typed(fields, &going.name)?;
    }
    let only_it = std::slice::from_ref(&going.digest);
    let image = ui.delete_manifests(viewer, &going.view, only_it, &going.tags).await?;
    if !image.kept.is_empty() {
        return Ok(back(&stays(&image)));
    }
    if image.deleted.is_empty() {
        return Err(Failure::NotFound);
    }
    let tags = display::counted(image.untagged.len(), "tag", "tags");
    let mut sentence = format!("The image is deleted, with {tags}. {}", super::NOT_FREED);
    if fields.get("with") == "listed" {
        // The index is gone first: none is left that lists what is not there.
        let children = still_unneeded(ui, viewer, &going).await?;
        let listed = ui.delete_manifests(viewer, &going.view, &children, &[]).await?;
        let left = going.only_listed.len() - listed.deleted.len().min(going.only_listed.len());
        if left > 0 {
            let manifests = display::counted(left, "manifest", "manifests");
            sentence +=
                &format!(" Of what only it listed, {manifests} got another name meanwhile, or went before.");
        }
    }
    Ok(back(&sentence))
}

/// What no index lists that came since it was asked.
async fn still_unneeded(ui: &Ui, viewer: &Viewer, going: &Going) -> Result<Vec<Digest>, Failure> {
    let Some(view) = ui.view_for(viewer, &going.name).await? else { return Ok(Vec::new()) };
    if !view.indexes_cut().is_empty() {
        return Ok(Vec::new());
    }
    let agreed: HashSet<&Digest> = going.only_listed.iter().collect();
    let unneeded = |digest: &&Digest| view.indexes_of(digest).all(|index| agreed.contains(&index.digest));
    Ok(going.only_listed.iter().filter(unneeded).cloned().collect())
}

/// Says that an image was not deleted since a tag came that nobody was asked about.
fn stays(image: &Deletion) -> String {
    let came: Vec<&Tag> = image.kept.iter().map(|(tag, _)| tag).collect();
    let came = super::some(&came);
    if image.untagged.is_empty() {
        return format!("Nothing was done: {came} named this image by the time you confirmed. Look again.");
    }
    let tags = display::counted(image.untagged.len(), "tag is", "tags are");
    format!(
        "The image stays, since {came} named it by the time it was to go; {tags} taken off it. Look again."
    )
}
