//! The first page: which repositories there are.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Ui, address,
    address::Target,
    display::{self, Moment},
    fields::Fields,
    pages::Pages,
    response::Failure,
    search::{Search, contains},
    tree::Tree,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::{Reference, RepositoryName},
    registry::{Catalogue, CatalogueOrder, CatalogueRow, Namespace, Namespaces},
};

/// Tags shown of those a search finds.
const SHOWN_TAGS: usize = 50;
/// Platforms written out in a row.
const SHOWN_PLATFORMS: usize = 3;

#[derive(Template)]
#[template(path = "catalogue.html")]
struct CataloguePage {
    frame: Frame,
    query: String,
    rows: Vec<Row>,
    columns: Vec<Column>,
    pages: Pages,
    namespaces: Tree,
    found_tags: Vec<FoundTag>,
    more_tags: bool,
    /// Repositories whose tags are not in memory.
    not_searched: usize,
    totals: Option<Totals>,
    unread: usize,
    nothing_stored: bool,
}

/// What is stored in all that the viewer may see.
struct Totals {
    repositories: usize,
    /// `5 tags`.
    tags: String,
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

struct FoundTag {
    text: String,
    href: String,
}

/// The catalogue.
pub(super) async fn show(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    viewer.answer(page(&ui, &viewer, &fields).await)
}

async fn page(ui: &Ui, viewer: &Viewer, fields: &Fields) -> Result<CataloguePage, Failure> {
    viewer.require_catalogue(ui)?;
    let search = Search::new(fields.get("q"));
    let catalogue = ui.registry.catalogue().await?;
    let visible = viewer.visible(ui, &catalogue);
    let (sort, reverse) = (fields.get("sort"), fields.get("reverse") == "1");
    let order = match sort {
        "pushed" => CatalogueOrder::Pushed,
        "size" => CatalogueOrder::Size,
        "tags" => CatalogueOrder::Tags,
        _ => CatalogueOrder::Name,
    };
    let all = viewer.may_see_all(ui);
    let wanted = |row: &&Arc<CatalogueRow>| {
        (search.is_empty() || search.finds(row.name.as_str())) && (all || viewer.may_see(ui, &row.name))
    };
    let mut found: Vec<_> = catalogue.ordered(order).filter(wanted).collect();
    if reverse {
        found.reverse();
    }
    let here = |sort: &str, reverse: &str, page: &str| {
        let parameters = [("q", &*search.text), ("sort", sort), ("reverse", reverse), ("page", page)];
        address::with_query(address::CATALOGUE, &parameters)
    };
    let kept = if reverse { "1" } else { "" };
    let (shown, pages) = Pages::of(found.len(), fields.page(), |page| here(sort, kept, page));
    let columns = ["name", "tags", "size", "pushed"].map(|column| {
        let is_sorted = sort == column || (sort.is_empty() && column == "name");
        Column::new(column, is_sorted, reverse, |reverse| here(column, reverse, ""))
    });
    let (found_tags, more_tags, not_searched) = find_tags(ui, viewer, &search, &visible);
    let namespaces = match (search.is_empty(), all) {
        (true, true) => Tree::new(&catalogue.namespaces().all().iter().collect::<Vec<_>>(), 0),
        (true, false) => tree_of(&visible, 0),
        (false, _) => Tree::default(),
    };
    let tags: usize = visible.iter().filter_map(|row| row.facts.as_ref()).map(|facts| facts.tags).sum();
    let tags = display::counted(tags, "tag", "tags");
    Ok(CataloguePage {
        nothing_stored: visible.is_empty() && search.is_empty(),
        totals: search.is_empty().then_some(Totals { repositories: visible.len(), tags }),
        rows: ui.rows(&found[shown]),
        columns: columns.into(),
        pages,
        namespaces,
        found_tags,
        more_tags,
        not_searched,
        // Of what the viewer may see: that much more is being read is told to nobody else.
        unread: visible.iter().filter(|row| row.facts.is_none()).count(),
        frame: viewer.frame.clone(),
        query: search.text,
    })
}

/// The paths above some repositories, without the first `above` levels.
pub(super) fn tree_of(rows: &[&Arc<CatalogueRow>], above: usize) -> Tree {
    let all = Namespaces::of(rows.iter().map(|row| row.name.as_str()));
    let below: Vec<&Namespace> = all.all().iter().filter(|path| path.depth >= above).collect();
    Tree::new(&below, above)
}

/// Tags that a search finds, in repositories that it does not find.
fn find_tags(
    ui: &Ui,
    viewer: &Viewer,
    search: &Search,
    visible: &[&Arc<CatalogueRow>],
) -> (Vec<FoundTag>, bool, usize) {
    let mut found = Vec::new();
    if search.text.len() < 2 {
        return (found, false, 0);
    }
    let wanted = visible.iter().filter_map(|row| Some((&row.name, search.in_tags_of(row.name.as_str())?)));
    let (found_in, not_searched) = ui
        .registry
        .find_tags(wanted, SHOWN_TAGS + 1, |tag, words| words.iter().all(|word| contains(tag, word)));
    for (name, tag) in found_in {
        debug_assert!(viewer.may_see(ui, &name));
        let target = Target::Image(name, Reference::Tag(tag));
        found.push(FoundTag { text: target.text(), href: target.path() });
    }
    let more = found.len() > SHOWN_TAGS;
    found.truncate(SHOWN_TAGS);
    // Of what the viewer may see, as all of this.
    (found, more, not_searched)
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

impl Viewer {
    /// The repositories that the viewer may see.
    pub(super) fn visible<'a>(&self, ui: &Ui, catalogue: &'a Catalogue) -> Vec<&'a Arc<CatalogueRow>> {
        let all = self.may_see_all(ui);
        catalogue.rows().iter().filter(|row| all || self.may_see(ui, &row.name)).collect()
    }
}

impl Ui {
    /// Rows for a table of repositories.
    pub(super) fn rows(&self, rows: &[&Arc<CatalogueRow>]) -> Vec<Row> {
        rows.iter().map(|row| Row::new(self, &row.name, row)).collect()
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
