//! What a tag named before, and who moved it.

use super::rows::Link;
use crate::{
    oci::{Digest, Reference, RepositoryName},
    registry::Action,
    ui::{Ui, display::Moment, response::Failure},
};

/// Moves shown.
const SHOWN: usize = 20;

/// A move of a tag.
pub(super) struct HistoryRow {
    pub(super) at: Option<Moment>,
    pub(super) user: Option<String>,
    pub(super) what: &'static str,
    pub(super) was: Option<Link>,
    pub(super) now: Option<Link>,
}

/// The moves of a tag, the newest first; none of a digest.
pub(super) async fn of(
    ui: &Ui,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Vec<HistoryRow>, Failure> {
    let Reference::Tag(tag) = reference else { return Ok(Vec::new()) };
    let entries = ui.registry.tag_history(name, tag, SHOWN).await?;
    let link = |digest: &Option<Digest>| digest.as_ref().map(|digest| Link::new(name, digest));
    let rows = entries.iter().map(|entry| HistoryRow {
        at: Moment::of_milliseconds(entry.at),
        user: entry.user.clone(),
        what: if entry.action == Action::Push { "pushed" } else { "removed" },
        was: link(&entry.was),
        now: link(&entry.now),
    });
    Ok(rows.collect())
}
