//! The first page: which repositories there are.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Ui, address,
    address::Target,
    display::{self, Moment},
    fields::Fields,
    found::{Found, FoundTag, Wanted},
    pages::Pages,
    response::Failure,
    search::{Search, SearchForm},
    sight::Sight,
    tree::Tree,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::RepositoryName,
    registry::{CatalogueOrder, CatalogueRow, CatalogueTotals, Missing, Namespace, Namespaces},
};

/// What is looked for.
const LABEL: &str = "Find a repository or a tag";
/// Platforms written out in a row.
const SHOWN_PLATFORMS: usize = 3;

#[derive(Template)]
#[template(path = "catalogue.html")]
struct CataloguePage {
    frame: Frame,
    search: SearchForm,
    rows: Vec<Row>,
    columns: Vec<Column>,
    pages: Pages,
    namespaces: Tree,
    found_tags: Vec<FoundTag>,
    more_tags: bool,
    /// Repositories whose tags were not searched.
    not_searched: Missing,
    totals: Option<Totals>,
    /// Of what the viewer may see: that more is being read is told to nobody else.
    unread: usize,
    nothing_stored: bool,
}

/// What is stored in all that the viewer may see.
struct Totals {
    repositories: usize,
    /// `5 tags`.
    tags: String,
    /// Where all is known.
    stored: Option<String>,
}

/// A repository in a table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) tags: Option<usize>,
    pub(super) size: Option<String>,
    pub(super) pushed: Option<Moment>,
    pub(super) by: Option<String>,
    pub(super) newest: Option<String>,
    pub(super) platforms: Vec<String>,
}

/// The head of a column that sorts.
pub(super) struct Column {
    pub(super) text: &'static str,
    pub(super) href: String,
    /// `ascending` or `descending`, when the rows are in this order.
    pub(super) sorted: Option<&'static str>,
    pub(super) is_number: bool,
}

/// The catalogue.
pub(super) async fn show(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    viewer.answer(page(&ui, &viewer, &fields).await)
}

/// The order that is asked for, by its name in an address; that of the names has none.
fn order(fields: &Fields) -> (&'static str, CatalogueOrder) {
    match fields.get("sort") {
        "pushed" => ("pushed", CatalogueOrder::Pushed),
        "size" => ("size", CatalogueOrder::Size),
        "tags" => ("tags", CatalogueOrder::Tags),
        _ => ("", CatalogueOrder::Name),
    }
}

async fn page(ui: &Ui, viewer: &Viewer, fields: &Fields) -> Result<CataloguePage, Failure> {
    viewer.require_catalogue(ui)?;
    let ((sort, order), reverse) = (order(fields), fields.get("reverse") == "1");
    let wanted = Wanted { search: Search::new(fields.get("q")), order, reverse };
    let (registry, catalogue, sight) =
        (ui.registry.clone(), ui.registry.catalogue().await?, Sight::of(ui, viewer));
    let find = move || {
        let found = Found::of(&registry, &catalogue, &sight, &wanted);
        (found, wanted.search, catalogue)
    };
    let (found, search, catalogue) = ui.registry.compute(find).await?;
    let here = |sort: &str, reverse: &str, page: &str| {
        let parameters = [("q", &*search.text), ("sort", sort), ("reverse", reverse), ("page", page)];
        address::with_query(address::CATALOGUE, &parameters)
    };
    let kept = if reverse { "1" } else { "" };
    let (shown, pages) = Pages::of(found.places.len(), fields.page(), |page| here(sort, kept, page));
    let columns = ["name", "tags", "size", "pushed"].map(|column| {
        let is_sorted = sort == column || (sort.is_empty() && column == "name");
        Column::new(column, is_sorted, reverse, |reverse| here(column, reverse, ""))
    });
    Ok(CataloguePage {
        nothing_stored: found.repositories == 0 && search.is_empty(),
        totals: search.is_empty().then(|| Totals::new(&found)),
        rows: ui.rows(found.places[shown].iter().map(|place| &catalogue.rows()[*place])),
        columns: columns.into(),
        pages,
        namespaces: found.namespaces,
        found_tags: found.tags,
        more_tags: found.has_more_tags,
        not_searched: found.missing,
        unread: found.totals.unread,
        frame: viewer.frame.clone(),
        search: SearchForm::new(address::CATALOGUE, LABEL, &search, &[("sort", sort), ("reverse", kept)]),
    })
}

impl Totals {
    fn new(found: &Found) -> Self {
        let CatalogueTotals { tags, stored, unread } = found.totals;
        let stored = || display::size(u64::try_from(stored).unwrap_or(u64::MAX));
        Self {
            repositories: found.repositories,
            tags: display::counted(tags, "tag", "tags"),
            stored: (unread == 0 && found.repositories > 1).then(stored),
        }
    }
}

/// The paths above some repositories, without the first `above` levels.
pub(super) fn tree_of<'a>(rows: impl Iterator<Item = &'a Arc<CatalogueRow>>, above: usize) -> Tree {
    let all = Namespaces::of(rows.map(|row| row.name.as_str()));
    let below: Vec<&Namespace> = all.all().iter().filter(|path| path.depth >= above).collect();
    Tree::new(&below, above)
}

impl Column {
    /// The head of a column of which a click sorts by it, and a second one the other way.
    pub(super) fn new(key: &str, is_sorted: bool, reverse: bool, address: impl Fn(&str) -> String) -> Self {
        let (text, is_number, falls) = match key {
            "tags" => ("Tags", true, true),
            "size" => ("Size", true, true),
            "pushed" => ("Last push", false, true),
            "created" => ("Created", false, true),
            "tag" => ("Tag", false, true),
            _ => ("Repository", false, false),
        };
        let sorted = is_sorted.then_some(if falls == reverse { "ascending" } else { "descending" });
        Self { text, href: address(if is_sorted && !reverse { "1" } else { "" }), sorted, is_number }
    }
}

impl Ui {
    /// Rows for a table of repositories.
    pub(super) fn rows<'a>(&self, rows: impl Iterator<Item = &'a Arc<CatalogueRow>>) -> Vec<Row> {
        rows.map(|row| Row::new(self, &row.name, row)).collect()
    }
}

impl Row {
    fn new(ui: &Ui, name: &RepositoryName, row: &CatalogueRow) -> Self {
        let facts = row.facts.as_ref();
        let newest = facts.and_then(|facts| facts.newest.as_ref());
        let by = newest.and_then(|(tag, digest, _)| ui.registry.pushed_by(name, tag, digest));
        Self {
            name: name.to_string(),
            href: Target::Repository(name.clone()).path(),
            tags: facts.map(|facts| facts.tags),
            size: facts.map(|facts| display::size(facts.stored)),
            pushed: facts.and_then(|facts| facts.pushed).and_then(Moment::of_system),
            by,
            newest: newest.map(|(tag, _, _)| tag.to_string()),
            platforms: newest
                .map(|(_, _, platforms)| platforms.iter().take(SHOWN_PLATFORMS).cloned().collect())
                .unwrap_or_default(),
        }
    }
}
