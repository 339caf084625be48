//! Deleting a whole repository: all tags, then all manifests.

use std::sync::Arc;

use askama::Template;

use super::{
    super::{
        Ui, display,
        fields::Fields,
        response::Failure,
        sight::Sight,
        visitor::{Frame, Viewer},
    },
    Head, Question, plan,
};
use crate::{
    oci::{Digest, Tag},
    registry::{Action, RepositoryView},
};

/// Tags named on the page.
const SHOWN_TAGS: usize = 60;

/// What the page is called, and where its form goes.
const PAGE: (&str, &str) = ("Delete all of it", "/ui/-/delete-repository");

#[derive(Template)]
#[template(path = "delete_repository.html")]
pub(in crate::ui) struct DeleteRepositoryPage {
    frame: Frame,
    head: Head,
    tags: usize,
    some_tags: Vec<String>,
    manifests: usize,
    /// Repositories whose names begin with this one: they stay.
    below: usize,
    stored: String,
    freed: String,
    state: String,
}

impl Question for DeleteRepositoryPage {
    async fn ask(ui: &Ui, viewer: &Viewer, fields: &Fields, message: &'static str) -> Result<Self, Failure> {
        let (name, view) = plan::view(ui, viewer, fields.get("repository")).await?;
        if view.is_empty() {
            return Err(Failure::NotFound);
        }
        let all: Vec<Digest> = view.manifests().map(|manifest| manifest.digest.clone()).collect();
        let catalogue = ui.registry.catalogue().await?;
        let sight = Sight::of(ui, viewer);
        let below =
            catalogue.rows()[catalogue.below(&name)].iter().filter(|row| sight.sees(&row.name)).count();
        Ok(Self {
            frame: viewer.frame.clone(),
            head: Head::new(&name, PAGE, Some("To confirm"), message),
            tags: view.tags().len(),
            some_tags: view.tags().iter().take(SHOWN_TAGS).map(|tag| tag.tag.to_string()).collect(),
            manifests: all.len(),
            below,
            stored: display::size(view.stored_bytes()),
            freed: plan::freed(ui, viewer, &name, &all).await?,
            state: state(&view),
        })
    }

    async fn carry_out(ui: &Arc<Ui>, viewer: &Viewer, fields: &Fields) -> Result<String, Failure> {
        delete(ui, viewer, fields).await
    }
}

/// What was there when it was asked: every tag with what it names, and every manifest.
fn state(view: &RepositoryView) -> String {
    let mut digests: Vec<_> = view.manifests().map(|manifest| manifest.digest.as_str()).collect();
    digests.sort_unstable();
    let tags = view.tags().iter().flat_map(|tag| [tag.tag.as_str(), tag.digest.as_str()]);
    plan::state(tags.chain(digests))
}

async fn delete(ui: &Arc<Ui>, viewer: &Viewer, fields: &Fields) -> Result<String, Failure> {
    let (name, view) = plan::view(ui, viewer, fields.get("repository")).await?;
    super::is_typed(fields, &name)?;
    // What came meanwhile was not agreed to.
    if state(&view) != fields.get("state") {
        return Ok(super::back(ui, viewer, &name, super::CHANGED));
    }
    let mut untagged = 0;
    for tag in view.tags() {
        untagged += usize::from(ui.take_off(viewer, &name, &tag.tag, &tag.digest).await?);
    }
    let all: Vec<Digest> = view.manifests().map(|manifest| manifest.digest.clone()).collect();
    let done = ui.delete_manifests(viewer, &view, &all, &[]).await?;
    let kept: Vec<&Tag> = done.kept.iter().map(|(tag, _)| tag).collect();
    let tags = display::counted(untagged, "tag", "tags");
    let sentence = if kept.is_empty() {
        ui.note(viewer.entry_of(Action::DeleteRepository, &name));
        format!("The repository is deleted, with {tags}. {}", super::NOT_FREED)
    } else {
        format!(
            "{tags} and {} are deleted; what {} named by then stays. Look again.",
            display::counted(done.deleted.len(), "manifest", "manifests"),
            super::some(&kept)
        )
    };
    Ok(super::back(ui, viewer, &name, &sentence))
}
