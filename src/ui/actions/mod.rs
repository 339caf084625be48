//! Taking tags off, and deleting images and whole repositories: a page that says what will happen, then a POST that does it.
//!
//! Both are looked at again when they are done: the rights of who sends the form, that all is as the page said, and
//! that each tag on the volume names what the page said. The server sees every POST to its end, whoever closes the page.

mod carry_out;
mod delete;
mod delete_repository;
mod plan;
mod untag;

use askama::Template;
use axum::response::Response;

use std::time::SystemTime;

use super::{
    Ui,
    address::{self, Target},
    fields::Fields,
    response::{self, Failure},
    visitor::{Viewer, Visitor},
};
use crate::oci::{RepositoryName, Tag};

pub(super) use delete::{confirm as confirm_delete, delete};
pub(super) use delete_repository::{confirm as confirm_delete_repository, delete as delete_repository};
pub(super) use untag::{confirm as confirm_untag, untag};

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

/// Answers a form: with where to go when it is done, or with the page once more that asks for the name.
async fn answer<Page: Template>(
    viewer: &Viewer,
    done: Result<String, Failure>,
    ask_again: impl Future<Output = Result<Page, Failure>>,
) -> Response {
    match done {
        Ok(address) => response::see_other(&address),
        Err(Failure::NotTyped) => viewer.answer(ask_again.await),
        Err(failure) => viewer.fail(failure),
    }
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
