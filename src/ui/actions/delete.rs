//! Deleting an image: the manifest with every tag of it and, if wanted, what only it lists.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};

use super::{
    super::{
        Ui,
        address::Target,
        display::ShownDigest,
        fields::Fields,
        image::kind_of_view,
        repository::{Crumb, crumbs},
        response::Failure,
        visitor::{Frame, Viewer},
    },
    TYPED_FROM, plan,
};
use crate::{
    oci::{Digest, RepositoryName, Tag},
    registry::{Action, JournalEntry, RegistryError},
};

#[derive(Template)]
#[template(path = "delete.html")]
struct DeletePage {
    frame: Frame,
    name: String,
    href: String,
    crumbs: Vec<Crumb>,
    digest: ShownDigest,
    kind: String,
    tags: Vec<String>,
    /// Indexes that list it and will lack it.
    indexes: Vec<String>,
    referrers: usize,
    /// What only it lists.
    only_listed: usize,
    freed: String,
    freed_alone: String,
    must_type: bool,
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
) -> Result<DeletePage, Failure> {
    let (name, view) = plan::view(ui, viewer, fields.get("repository")).await?;
    let digest: Digest = fields.get("digest").parse().map_err(|_| Failure::NotFound)?;
    let manifest = view.manifest(&digest).ok_or(Failure::NotFound)?;
    let only_listed = plan::only_listed_by(&view, &digest);
    let all: Vec<Digest> = std::iter::once(digest.clone()).chain(only_listed.iter().cloned()).collect();
    let tags: Vec<_> = view.tags_of(&digest).map(ToString::to_string).collect();
    Ok(DeletePage {
        frame: viewer.frame.clone(),
        name: name.to_string(),
        href: Target::Repository(name.clone()).path(),
        crumbs: crumbs(&name),
        kind: kind_of_view(manifest),
        indexes: plan::indexes(&view, &digest),
        referrers: view.referrers_of(&digest).len(),
        only_listed: only_listed.len(),
        freed: plan::freed(ui, viewer, &name, &all).await?,
        freed_alone: plan::freed(ui, viewer, &name, &all[..1]).await?,
        must_type: tags.len() > TYPED_FROM,
        tags,
        digest: ShownDigest::new(&digest),
        message,
    })
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
    let digest: Digest = fields.get("digest").parse().map_err(|_| Failure::NotFound)?;
    let shown: Vec<Tag> = fields.all("going").filter_map(|tag| tag.parse().ok()).collect();
    // A tag that came meanwhile was not agreed to.
    let unseen = view.tags_of(&digest).filter(|tag| !shown.contains(tag)).count();
    if unseen > 0 {
        return Ok(super::back(&name, "moved", unseen));
    }
    if shown.len() > TYPED_FROM && fields.get("typed").trim() != name.as_str() {
        return Err(Failure::NotTyped);
    }
    let children = plan::only_listed_by(&view, &digest);
    let untagged = ui.delete_manifest(viewer, &name, &digest).await?;
    if fields.get("with") == "listed" {
        // The index is gone first: none is left that lists what is not there.
        for child in &children {
            match ui.delete_manifest(viewer, &name, child).await {
                Err(Failure::NotFound) => {}
                result => drop(result?),
            }
        }
    }
    Ok(super::back(&name, "delete", untagged.len()))
}

impl Ui {
    async fn delete_manifest(
        &self,
        viewer: &Viewer,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<Tag>, Failure> {
        let untagged = match self.registry.delete_manifest(name, digest).await {
            Err(RegistryError::ManifestUnknown(_)) => return Err(Failure::NotFound),
            result => result?,
        };
        let entry = |action, tag: Option<&Tag>| JournalEntry {
            repository: Some(name.clone()),
            tag: tag.cloned(),
            was: Some(digest.clone()),
            ..viewer.entry(action)
        };
        self.note_deletion(entry(Action::Delete, None)).await;
        for tag in &untagged {
            self.note(entry(Action::Untag, Some(tag)));
        }
        Ok(untagged)
    }
}
