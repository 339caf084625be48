//! Taking tags off, and deleting images: a page that says what will happen, then a POST that does it.
//!
//! Both are looked at again when they are done: the rights of who sends the form, and that each tag still names what the
//! page said.

mod delete;
mod plan;
mod untag;

use super::fields::Fields;

pub(super) use delete::{confirm as confirm_delete, delete};
pub(super) use untag::{confirm as confirm_untag, untag};

/// Most tags taken off at once.
const MAX_TAGS: usize = 1000;
/// More tags than this are only taken off after the name of the repository was typed.
const TYPED_FROM: usize = 20;

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
        "moved" => Some(format!(
            "Nothing was done: {} named something else by the time you confirmed. Look again.",
            tags(count)
        )),
        _ => None,
    }
}
