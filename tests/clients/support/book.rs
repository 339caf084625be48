//! Commands as the documents of the tree have them, so that what a test runs is what a reader types.

use std::fs;
use std::path::Path;

/// The lines of the first block of commands in `document` after `place`, a heading or a few words that stand there
/// once.
#[track_caller]
pub(crate) fn commands(document: &str, place: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).expect("a document");
    assert_eq!(text.matches(place).count(), 1, "{document} does not have {place:?} once");
    let after = text.split(place).nth(1).expect("it has it");
    let block = after.split("```console\n").nth(1).and_then(|rest| rest.split("```").next());
    let block = block.unwrap_or_else(|| panic!("{document} has no block of commands after {place:?}"));
    block.lines().map(str::to_owned).collect()
}
