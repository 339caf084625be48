//! An image, index or artifact: how to use it, what it is, what it is made of.

mod children;
mod dockerfile;
mod download;
mod fact;
mod head;
mod history;
mod inside;
mod kind;
mod links;
mod raw;
mod rows;
mod secrets;
mod summary;
mod surroundings;

use std::sync::Arc;

use askama::Template;

use super::{
    Ui,
    address::Target,
    commands::Tool,
    display::Moment,
    fields::Fields,
    response::Failure,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::{Reference, RepositoryName},
    registry::RepositoryView,
};
pub(super) use download::download;
pub(super) use fact::Fact;
use head::Head;
use history::HistoryRow;
pub(super) use kind::{kind_of_view, short_kind};
use links::Links;
pub(super) use raw::page as raw_page;
pub(super) use rows::PageLink;
use rows::{ChildRow, FileRow, ImageView, Part, PlatformLink};
pub(super) use secrets::looks_secret;
use surroundings::Surroundings;

#[derive(Template)]
#[template(path = "image.html")]
pub(super) struct ImagePage {
    frame: Frame,
    head: Head,
    /// When the tag was written, and by whom, where that is known.
    pushed: Option<(Option<Moment>, Option<String>)>,
    tools: Vec<Tool>,
    platforms: Vec<PlatformLink>,
    /// The image whose configuration and layers are shown; of an index, the child that was chosen.
    image: Option<ImageView>,
    children: Part<ChildRow>,
    details: Vec<Fact>,
    files: Part<FileRow>,
    annotations: Vec<Fact>,
    around: Surroundings,
    history: Vec<HistoryRow>,
    links: Links,
}

/// The page of a manifest. `platform` chooses a child of an index.
pub(super) async fn page(
    ui: &Ui,
    viewer: &Viewer,
    name: &RepositoryName,
    reference: &Reference,
    fields: &Fields,
) -> Result<ImagePage, Failure> {
    if !viewer.may_see(ui, name) {
        return Err(Failure::NotFound);
    }
    let digest = ui.registry.resolve(name, reference).await?;
    let summary = ui.registry.image_summary(name, &digest).await?;
    let chosen = ui.chosen_image(name, &summary, fields.get("platform")).await?;
    let chosen = chosen.as_deref();
    let image = ui.inside(viewer, chosen, &digest).await?;
    let view = ui.registry.repository_view(name).await?;
    let (seen, named) = (view.clone(), reference.clone());
    let around = ui.registry.compute(move || Surroundings::of(&seen, &digest, &named)).await?;
    Ok(ImagePage {
        frame: viewer.frame.clone(),
        head: Head::new(name, reference, &summary),
        pushed: ui.pushed(&view, reference).await?,
        tools: summary.tools(&viewer.frame.host, name, reference),
        platforms: links::platforms(&Target::Image(name.clone(), reference.clone()), &summary, chosen),
        image,
        children: children::of(ui, name, &summary).await?,
        details: summary.details(),
        files: summary.files(),
        annotations: summary.annotations.iter().map(Fact::of_pair).collect(),
        around,
        history: history::of(ui, name, reference).await?,
        links: Links::new(ui, viewer, (name, reference), &summary, chosen.unwrap_or(&summary)),
    })
}

impl Ui {
    /// When a tag was written and by whom, by the same rule as in the list of tags; nothing of a digest.
    async fn pushed(
        &self,
        view: &Arc<RepositoryView>,
        reference: &Reference,
    ) -> Result<Option<(Option<Moment>, Option<String>)>, Failure> {
        let Reference::Tag(tag) = reference else { return Ok(None) };
        let known = view.tag(tag).cloned().into_iter().collect();
        let fresh = self.registry.fresh_tags(view, known).await?.pop();
        Ok(fresh.map(|(tag, entry)| (Moment::of_system(tag.pushed), entry.and_then(|entry| entry.user))))
    }
}

pub(super) fn suffix(reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => format!(":{tag}"),
        Reference::Digest(digest) => format!("@{}", &digest.encoded()[..12]),
    }
}
