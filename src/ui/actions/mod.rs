//! Taking tags off, and deleting images and whole repositories: a page that says what will happen, then a POST that
//! does it.
//!
//! Both are looked at again when they are done: the rights of who sends the form, that all is as the page said, and
//! that each tag on the volume names what the page said. The server sees every POST to its end, whoever closes the
//! page.

mod carry_out;
mod delete;
mod delete_repository;
mod plan;
mod untag;

use std::{sync::Arc, time::SystemTime};

use askama::Template;
use axum::{
    extract::State,
    response::Response,
    routing::{MethodRouter, get},
};

use super::{
    Ui,
    address::{self, Target},
    fields::Fields,
    repository::{Crumb, crumbs},
    response::{self, Failure},
    visitor::{Viewer, Visitor},
};
use crate::oci::{RepositoryName, Tag};

pub(super) use delete::DeletePage;
pub(super) use delete_repository::DeleteRepositoryPage;
pub(super) use untag::UntagPage;

/// Most tags taken off at once.
pub(super) const MAX_TAGS: usize = 1000;
/// More tags than this are only taken off after the name of the repository was typed.
const TYPED_FROM: usize = 20;
/// Tags named in a sentence.
const NAMED: usize = 3;

/// What the page says when it asks again.
const NOT_TYPED: &str = "The name was not the one asked for.";

/// There is no garbage collection yet.
const NOT_FREED: &str = "Its bytes stay on the volume: this version frees none.";

/// What a page says when it is no longer as it was shown.
const CHANGED: &str =
    "Nothing was done: something was pushed or deleted here before you confirmed. Look again.";

/// A page that asks, and what is done when its form is sent.
pub(super) trait Question: Template + Sized + Send {
    /// The page. `message` says why it is shown again.
    fn ask(
        ui: &Ui,
        viewer: &Viewer,
        fields: &Fields,
        message: &'static str,
    ) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Does it, and gives where to go then.
    fn carry_out(
        ui: &Arc<Ui>,
        viewer: &Viewer,
        fields: &Fields,
    ) -> impl Future<Output = Result<String, Failure>> + Send;
}

/// `GET` asks, `POST` does it.
pub(super) fn route<Page: Question + 'static>() -> MethodRouter<Arc<Ui>> {
    get(confirm::<Page>).post(act::<Page>)
}

async fn confirm<Page: Question>(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    viewer.answer(Page::ask(&ui, &viewer, &fields, "").await)
}

async fn act<Page: Question>(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    if !viewer.has_token(fields.get("token")) {
        return viewer.fail(Failure::StaleForm);
    }
    match Page::carry_out(&ui, &viewer, &fields).await {
        Ok(address) => response::see_other(&address),
        Err(Failure::NotTyped) => viewer.answer(Page::ask(&ui, &viewer, &fields, NOT_TYPED).await),
        Err(failure) => viewer.fail(failure),
    }
}

/// What every page has that asks.
struct Head {
    name: String,
    href: String,
    crumbs: Vec<Crumb>,
    /// What the page is called.
    here: &'static str,
    /// Where its form goes.
    action: &'static str,
    /// Why the name of the repository must be typed, when it must.
    to_type: Option<&'static str>,
    /// Why it is asked once more.
    message: &'static str,
}

impl Head {
    fn new(
        name: &RepositoryName,
        (here, action): (&'static str, &'static str),
        to_type: Option<&'static str>,
        message: &'static str,
    ) -> Self {
        let href = Target::Repository(name.clone()).path();
        Self { name: name.to_string(), href, crumbs: crumbs(name), here, action, to_type, message }
    }
}

/// Whether the name of the repository was typed.
fn is_typed(fields: &Fields, name: &RepositoryName) -> Result<(), Failure> {
    if fields.get("typed").trim() == name.as_str() { Ok(()) } else { Err(Failure::NotTyped) }
}

/// The page of the repository, which says what was done. The sentence is sealed: a link from elsewhere says nothing.
fn back(ui: &Ui, viewer: &Viewer, name: &RepositoryName, sentence: &str) -> String {
    let path = Target::Repository(name.clone()).path();
    let sealed = ui.sealer.seal_notice(sentence, &viewer.frame.form_token, &path, SystemTime::now());
    address::with_query(&path, &[("done", &sealed)])
}

/// What a repository's page says about what was just done.
pub(super) fn notice(ui: &Ui, visitor: &Visitor, path: &str, fields: &Fields) -> Option<String> {
    ui.sealer.open_notice(fields.get("done"), &visitor.frame.form_token, path, SystemTime::now())
}

/// Some of many tags.
fn some(tags: &[&Tag]) -> String {
    let named: Vec<&str> = tags.iter().take(NAMED).map(|tag| tag.as_str()).collect();
    let more = tags.len().saturating_sub(NAMED);
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}
