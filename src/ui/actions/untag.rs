//! Taking tags off. What they named stays.

use std::sync::Arc;

use askama::Template;

use super::{
    super::{
        Ui, display,
        fields::Fields,
        response::Failure,
        visitor::{Frame, Viewer},
    },
    Head, Question, TYPED_FROM,
    plan::{self, Effect, GoingTag},
};
use crate::oci::{Digest, Reference, Tag};

/// What the page is called, and where its form goes.
const PAGE: (&str, &str) = ("Take tags off", "/ui/-/untag");

#[derive(Template)]
#[template(path = "untag.html")]
pub(in crate::ui) struct UntagPage {
    frame: Frame,
    head: Head,
    going: Vec<GoingTag>,
    effects: Vec<Effect>,
    freed: String,
}

impl Question for UntagPage {
    async fn ask(ui: &Ui, viewer: &Viewer, fields: &Fields, message: &'static str) -> Result<Self, Failure> {
        let (name, view) = plan::view(ui, viewer, fields.get("repository")).await?;
        // Those that were asked about, when it asks again.
        let again = fields.all("going").filter_map(|going| Some(going.split_once('@')?.0));
        let going = plan::going(&view, fields.all("tag").chain(again));
        if going.is_empty() {
            return Err(Failure::NoTags);
        }
        let to_type = (going.len() > TYPED_FROM).then_some("These are many");
        Ok(Self {
            frame: viewer.frame.clone(),
            head: Head::new(&name, PAGE, to_type, message),
            freed: plan::freed(ui, viewer, &name, &plan::nameless(&view, &going)).await?,
            effects: plan::effects(&view, &going),
            going,
        })
    }

    async fn carry_out(ui: &Arc<Ui>, viewer: &Viewer, fields: &Fields) -> Result<String, Failure> {
        take_off(ui, viewer, fields).await
    }
}

async fn take_off(ui: &Arc<Ui>, viewer: &Viewer, fields: &Fields) -> Result<String, Failure> {
    let (name, _) = plan::view(ui, viewer, fields.get("repository")).await?;
    let parse = |text: &str| -> Option<(Tag, Digest)> {
        let (tag, digest) = text.split_once('@')?;
        Some((tag.parse().ok()?, digest.parse().ok()?))
    };
    let going: Vec<_> = fields.all("going").filter_map(parse).take(super::MAX_TAGS).collect();
    if going.is_empty() {
        return Err(Failure::NoTags);
    }
    if going.len() > TYPED_FROM {
        super::is_typed(fields, &name)?;
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
