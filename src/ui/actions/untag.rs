//! Taking tags off. What they named stays.

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
    TYPED_FROM,
    plan::{self, Effect, GoingTag},
};
use crate::oci::{Digest, Reference, Tag};

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
pub(crate) async fn confirm(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    viewer.answer(page(&ui, &viewer, &fields, "").await)
}

async fn page(
    ui: &Ui,
    viewer: &Viewer,
    fields: &Fields,
    message: &'static str,
) -> Result<UntagPage, Failure> {
    let (name, view) = plan::view(ui, viewer, fields.get("repository")).await?;
    // Those that were asked about, when it asks again.
    let again = fields.all("going").filter_map(|going| Some(going.split_once('@')?.0));
    let going = plan::going(&view, fields.all("tag").chain(again));
    if going.is_empty() {
        return Err(Failure::NoTags);
    }
    let effects = plan::effects(&view, &going);
    let gone = plan::nameless(&view, &going);
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
pub(crate) async fn untag(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
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
    let mut moved = Vec::new();
    for (tag, digest) in &going {
        let named = ui.registry.resolve(&name, &Reference::Tag(tag.clone())).await;
        if !matches!(named, Ok(named) if named == *digest) {
            moved.push(tag);
        }
    }
    if !moved.is_empty() {
        let moved = super::some(&moved);
        let sentence =
            format!("Nothing was done: {moved} named something else by the time you confirmed. Look again.");
        return Ok(super::back(ui, viewer, &name, &sentence));
    }
    let mut count = 0;
    for (tag, digest) in &going {
        // One that was moved since it was looked at stays: somebody else was faster.
        count += usize::from(ui.take_off(viewer, &name, tag, digest).await?);
    }
    let tags = display::counted(count, "tag", "tags");
    Ok(super::back(ui, viewer, &name, &format!("{tags} taken off. What they named is still stored.")))
}
