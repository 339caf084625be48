//! Deleting a whole repository: all tags, then all manifests. Its blobs are freed by a clean-up, as far as no other
//! repository needs them.

use std::{collections::HashSet, sync::Arc};

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};

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
    oci::{Algorithm, Digest},
    registry::{Action, JournalEntry, RegistryError, RepositoryView},
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
pub(crate) async fn confirm(
    State(ui): State<Arc<Ui>>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::parse(&query.unwrap_or_default());
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
    let tags = view.tags().iter().map(|tag| format!("{}@{}", tag.tag, tag.digest));
    let all: Vec<String> = tags.chain(digests.into_iter().map(str::to_owned)).collect();
    Digest::of(Algorithm::Sha256, all.join("\n").as_bytes()).encoded().to_owned()
}

/// Deletes it.
pub(crate) async fn delete(State(ui): State<Arc<Ui>>, viewer: Viewer, body: String) -> Response {
    let fields = Fields::parse(&body);
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
        return Ok(super::back(&name, "changed", 0));
    }
    let entry = |action| JournalEntry { repository: Some(name.clone()), ..viewer.entry(action) };
    for tag in view.tags() {
        if ui.registry.delete_tag_if(&name, &tag.tag, &tag.digest).await? {
            ui.note_deletion(JournalEntry {
                tag: Some(tag.tag.clone()),
                was: Some(tag.digest.clone()),
                ..entry(Action::Untag)
            })
            .await;
        }
    }
    for digest in in_order(&view) {
        match ui.registry.delete_manifest(&name, digest).await {
            Err(RegistryError::ManifestUnknown(_)) => {}
            result => {
                drop(result?);
                ui.note_deletion(JournalEntry { was: Some(digest.clone()), ..entry(Action::Delete) }).await;
            }
        }
    }
    Ok(super::back(&name, "repository", view.tags().len()))
}

/// What lists others goes first: at no moment is there an index of which parts are gone.
fn in_order(view: &RepositoryView) -> Vec<&Digest> {
    let listed: HashSet<&Digest> = view.manifests().flat_map(|manifest| &manifest.children).collect();
    let mut all: Vec<_> = view.manifests().collect();
    all.sort_by_key(|manifest| (listed.contains(&manifest.digest), manifest.children.is_empty()));
    all.into_iter().map(|manifest| &manifest.digest).collect()
}
