//! Taking tags off, and deleting images and whole repositories: a page that says what will happen, then a POST that does it.
//!
//! Both are looked at again when they are done: the rights of who sends the form, and that each tag still names what the
//! page said.

mod delete;
mod delete_repository;
mod plan;
mod untag;

use askama::Template;
use axum::response::Response;

use super::{
    address::{self, Target},
    fields::Fields,
    response::{self, Failure},
    visitor::Viewer,
};
use crate::oci::RepositoryName;

pub(super) use delete::{confirm as confirm_delete, delete};
pub(super) use delete_repository::{confirm as confirm_delete_repository, delete as delete_repository};
pub(super) use untag::{confirm as confirm_untag, untag};

/// Most tags taken off at once.
const MAX_TAGS: usize = 1000;
/// More tags than this are only taken off after the name of the repository was typed.
const TYPED_FROM: usize = 20;

/// What the page says when it asks again.
const NOT_TYPED: &str = "The name was not the one asked for.";

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

/// The page of the repository, which says what was done to how many.
fn back(name: &RepositoryName, done: &str, count: usize) -> String {
    let path = Target::Repository(name.clone()).path();
    address::with_query(&path, &[("done", done), ("count", &count.to_string())])
}

/// What a repository's page says about what was just done.
pub(super) fn notice(fields: &Fields) -> Option<String> {
    let count: usize = fields.get("count").parse().ok()?;
    let tags = |count| if count == 1 { "1 tag".to_owned() } else { format!("{count} tags") };
    match fields.get("done") {
        "untag" => Some(format!("{} taken off. What they named is still stored.", tags(count))),
        "delete" => Some(format!(
            "The image is deleted, with {}. Its bytes are freed by the next clean-up.",
            tags(count)
        )),
        "repository" => Some(format!(
            "The repository is deleted, with {}. Its bytes are freed by the next clean-up.",
            tags(count)
        )),
        "changed" => Some(
            "Nothing was done: something was pushed or deleted here before you confirmed. Look again."
                .to_owned(),
        ),
        "moved" => Some(format!(
            "Nothing was done: {} named something else by the time you confirmed. Look again.",
            tags(count)
        )),
        _ => None,
    }
}
