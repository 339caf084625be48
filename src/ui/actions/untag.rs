//! Taking tags off. What they named stays.

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
        fields::Fields,
        repository::{Crumb, crumbs},
        response::Failure,
        visitor::{Frame, Viewer},
    },
    TYPED_FROM,
    plan::{self, Effect, GoingTag},
};
use crate::{
    oci::{Digest, Reference, RepositoryName, Tag},
    registry::{Action, JournalEntry},
};

#[derive(Template)]
#[template(path = "untag.html")]
struct UntagPage {
    frame: Frame,
    name: String,
    href: String,
    crumbs: Vec<Crumb>,
    going: Vec<GoingTag>,
    effects: Vec<Effect>,
    freed: String,
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
) -> Result<UntagPage, Failure> {
    let (name, view) = plan::view(ui, viewer, fields.get("repository")).await?;
    let going = plan::going(&view, fields.all("tag"));
    if going.is_empty() {
        return Err(Failure::NoTags);
    }
    let effects = plan::effects(&view, &going);
    // What would have no name left, and what only that lists.
    let nameless = |digest: &Digest| {
        view.indexes_of(digest).next().is_none()
            && view.tags_of(digest).all(|tag| going.iter().any(|going| going.tag == *tag))
    };
    let mut gone: Vec<Digest> = going.iter().map(|tag| tag.digest.clone()).filter(nameless).collect();
    gone.sort_unstable();
    gone.dedup();
    for digest in gone.clone() {
        gone.extend(plan::only_listed_by(&view, &digest));
    }
    Ok(UntagPage {
        frame: viewer.frame.clone(),
        name: name.to_string(),
        href: Target::Repository(name.clone()).path(),
        crumbs: crumbs(&name),
        freed: plan::freed(ui, viewer, &name, &gone).await?,
        must_type: going.len() > TYPED_FROM,
        going,
        effects,
        message,
    })
}

/// Takes them off.
pub(crate) async fn untag(State(ui): State<Arc<Ui>>, viewer: Viewer, body: String) -> Response {
    let fields = Fields::parse(&body);
    if !viewer.has_token(fields.get("token")) {
        return viewer.fail(Failure::StaleForm);
    }
    let done = do_it(&ui, &viewer, &fields).await;
    super::answer(&viewer, done, page(&ui, &viewer, &fields, super::NOT_TYPED)).await
}

async fn do_it(ui: &Ui, viewer: &Viewer, fields: &Fields) -> Result<String, Failure> {
    let (name, _) = plan::view(ui, viewer, fields.get("repository")).await?;
    let parse = |text: &str| -> Option<(Tag, Digest)> {
        let (tag, digest) = text.split_once('@')?;
        Some((tag.parse().ok()?, digest.parse().ok()?))
    };
    let going: Vec<_> = fields.all("going").filter_map(parse).take(super::MAX_TAGS).collect();
    if going.is_empty() {
        return Err(Failure::NoTags);
    }
    if going.len() > TYPED_FROM && fields.get("typed").trim() != name.as_str() {
        return Err(Failure::NotTyped);
    }
    // All are looked at before the first goes.
    let mut moved = 0;
    for (tag, digest) in &going {
        let named = ui.registry.resolve(&name, &Reference::Tag(tag.clone())).await;
        moved += usize::from(!matches!(named, Ok(named) if named == *digest));
    }
    if moved > 0 {
        return Ok(super::back(&name, "moved", moved));
    }
    let count = remove(ui, viewer, &name, &going).await?;
    Ok(super::back(&name, "untag", count))
}

async fn remove(
    ui: &Ui,
    viewer: &Viewer,
    name: &RepositoryName,
    going: &[(Tag, Digest)],
) -> Result<usize, Failure> {
    let mut count = 0;
    for (tag, digest) in going {
        // One that was moved since it was looked at stays: somebody else was faster.
        if ui.registry.delete_tag_if(name, tag, digest).await? {
            count += 1;
            ui.note_deletion(JournalEntry {
                repository: Some(name.clone()),
                tag: Some(tag.clone()),
                was: Some(digest.clone()),
                ..viewer.entry(Action::Untag)
            })
            .await;
        }
    }
    Ok(count)
}
