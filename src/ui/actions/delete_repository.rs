//! Deleting a whole repository: all tags, then all manifests.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    super::{
        Ui,
        address::Target,
        display,
        fields::Fields,
        repository::{Crumb, crumbs},
        response::Failure,
        visitor::{Frame, Viewer},
    },
    plan,
};
use crate::{
    oci::{Digest, Tag},
    registry::RepositoryView,
};

/// Tags named on the page.
const SHOWN_TAGS: usize = 60;

#[derive(Template)]
#[template(path = "delete_repository.html")]
struct DeleteRepositoryPage {
    frame: Frame,
    name: String,
    href: String,
    crumbs: Vec<Crumb>,
    tags: usize,
    some_tags: Vec<String>,
    manifests: usize,
    /// Repositories whose names begin with this one: they stay.
    below: usize,
    stored: String,
    freed: String,
    state: String,
    message: &'static str,
}

/// The page that asks.
pub(crate) async fn confirm(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    viewer.answer(page(&ui, &viewer, &fields, "").await)
}

async fn page(
    ui: &Ui,
    viewer: &Viewer,
    fields: &Fields,
    message: &'static str,
) -> Result<DeleteRepositoryPage, Failure> {
    let (name, view) = plan::view(ui, viewer, fields.get("repository")).await?;
    if view.is_empty() {
        return Err(Failure::NotFound);
    }
    let all: Vec<Digest> = view.manifests().map(|manifest| manifest.digest.clone()).collect();
    let catalogue = ui.registry.catalogue().await?;
    let below = catalogue.below(&name).iter().filter(|row| viewer.may_see(ui, &row.name)).count();
    Ok(DeleteRepositoryPage {
        frame: viewer.frame.clone(),
        name: name.to_string(),
        href: Target::Repository(name.clone()).path(),
        crumbs: crumbs(&name),
        tags: view.tags().len(),
        some_tags: view.tags().iter().take(SHOWN_TAGS).map(|tag| tag.tag.to_string()).collect(),
        manifests: all.len(),
        below,
        stored: display::size(view.stored_bytes()),
        freed: plan::freed(ui, viewer, &name, &all).await?,
        state: state(&view),
        message,
    })
}

/// What was there when it was asked: every tag with what it names, and every manifest.
fn state(view: &RepositoryView) -> String {
    let mut digests: Vec<_> = view.manifests().map(|manifest| manifest.digest.as_str()).collect();
    digests.sort_unstable();
    let tags = view.tags().iter().flat_map(|tag| [tag.tag.as_str(), tag.digest.as_str()]);
    plan::state(tags.chain(digests))
}

/// Deletes it.
pub(crate) async fn delete(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    if !viewer.has_token(fields.get("token")) {
        return viewer.fail(Failure::StaleForm);
    }
    let done = do_it(&ui, &viewer, &fields).await;
    super::answer(&viewer, done, page(&ui, &viewer, &fields, super::NOT_TYPED)).await
}

async fn do_it(ui: &Ui, viewer: &Viewer, fields: &Fields) -> Result<String, Failure> {
    let (name, view) = plan::view(ui, viewer, fields.get("repository")).await?;
    if fields.get("typed").trim() != name.as_str() {
        return Err(Failure::NotTyped);
    }
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
