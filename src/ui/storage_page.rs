//! How much is stored, and how much of it is shared.

use std::{cmp::Reverse, sync::Arc};

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Ui, address,
    address::Target,
    display,
    fields::Fields,
    pages::Pages,
    response::Failure,
    sight::Sight,
    visitor::{Frame, Viewer},
};
use crate::{oci::RepositoryName, registry::RepositoryBytes};

#[derive(Template)]
#[template(path = "storage.html")]
struct StoragePage {
    frame: Frame,
    repositories: usize,
    logical: String,
    stored: String,
    shared: String,
    /// By how many times as much would be stored if nothing were shared.
    saved: Option<String>,
    rows: Vec<Row>,
    pages: Pages,
    unread: usize,
    no_room: usize,
    sees_all: bool,
}

struct Row {
    name: String,
    href: String,
    tags: usize,
    logical: String,
    stored: String,
    unique: String,
    shared: String,
    /// Part of all that is stored, 0 to 100, for the bar and in words.
    share: String,
    percent: String,
}

/// The page.
pub(super) async fn show(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    viewer.answer(page(&ui, &viewer, &fields).await)
}

async fn page(ui: &Ui, viewer: &Viewer, fields: &Fields) -> Result<StoragePage, Failure> {
    viewer.require_catalogue(ui)?;
    let sight = Sight::of(ui, viewer);
    let sees_all = sight.sees_all();
    let mut report = ui.registry.storage_report(move |name: &RepositoryName| sight.sees(name)).await?;
    report.repositories.sort_by_key(|bytes| Reverse(bytes.stored));
    let address = |page: &str| address::with_query("/ui/storage", &[("page", page)]);
    let (shown, pages) = Pages::of(report.repositories.len(), fields.page(), address);
    let saved = report.logical as f64 / report.stored.max(1) as f64;
    Ok(StoragePage {
        frame: viewer.frame.clone(),
        repositories: report.repositories.len(),
        logical: display::size(report.logical),
        stored: display::size(report.stored),
        shared: display::size(report.shared),
        saved: (saved >= 1.05).then(|| format!("{saved:.1}")),
        rows: report.repositories[shown].iter().map(|bytes| Row::new(bytes, report.stored)).collect(),
        pages,
        unread: report.unread,
        no_room: report.no_room,
        sees_all,
    })
}

impl Row {
    fn new(bytes: &RepositoryBytes, all: u64) -> Self {
        let share = bytes.stored as f64 * 100.0 / all.max(1) as f64;
        Self {
            name: bytes.name.to_string(),
            href: Target::Repository(bytes.name.clone()).path(),
            tags: bytes.tags,
            logical: display::size(bytes.logical),
            stored: display::size(bytes.stored),
            unique: display::size(bytes.unique),
            shared: display::size(bytes.stored - bytes.unique.min(bytes.stored)),
            share: format!("{share:.2}"),
            percent: if share > 0.0 && share < 1.0 { "< 1".to_owned() } else { format!("{share:.0}") },
        }
    }
}
