//! A repository: its tags, and the repositories below it.

use std::sync::Arc;

use askama::Template;

use super::{
    Ui, address,
    address::Target,
    catalogue::{Column, Row, tree_of},
    display,
    fields::Fields,
    pages::{PAGE_ROWS, Pages},
    response::Failure,
    search::Search,
    sight::Sight,
    tag_row::{TagRow, pull_command},
    tree::Tree,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::RepositoryName,
    registry::{RegistryError, RepositoryView, TagOrder},
};

#[derive(Template)]
#[template(path = "repository.html")]
pub(super) struct RepositoryPage {
    frame: Frame,
    name: String,
    path: String,
    crumbs: Vec<Crumb>,
    /// What is said about something just done.
    notice: Option<String>,
    /// Whether images can be pushed and pulled by this very name.
    is_repository: bool,
    facts: Option<RepositoryFacts>,
    query: String,
    sort: String,
    tags: Vec<TagRow>,
    columns: Vec<Column>,
    pages: Pages,
    /// Tags that only carry signatures and the like, and are not shown.
    hidden: usize,
    show_hidden: Option<String>,
    hide: Option<String>,
    can_delete: bool,
    can_push: bool,
    /// The page that asks before all of it is deleted.
    delete: Option<String>,
    namespaces: Tree,
    below: Vec<Row>,
    more_below: Option<String>,
}

/// The head of the page.
struct RepositoryFacts {
    tags: usize,
    manifests: usize,
    /// The same in words.
    unnamed: String,
    logical: String,
    stored: String,
    /// The plain command for the tag pushed last.
    pull: Option<String>,
    newest: Option<String>,
}

/// A step of the path to a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crumb {
    pub(super) text: String,
    pub(super) href: String,
}

/// The repositories above `name` and itself, each with its page.
pub(super) fn crumbs(name: &RepositoryName) -> Vec<Crumb> {
    let text = name.as_str();
    let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
    let mut start = 0;
    ends.map(|end| {
        let crumb = Crumb { text: text[start..end].to_owned(), href: format!("/ui/r/{}", &text[..end]) };
        start = end + 1;
        crumb
    })
    .collect()
}

/// The page of a repository, or of a path above some.
pub(super) async fn page(
    ui: &Ui,
    viewer: &Viewer,
    name: &RepositoryName,
    fields: &Fields,
) -> Result<RepositoryPage, Failure> {
    let view = ui.view_for(viewer, name).await?;
    let catalogue = ui.registry.catalogue().await?;
    let sight = Sight::of(ui, viewer);
    let below = &catalogue.rows()[catalogue.below(name)];
    let below: Vec<_> = below.iter().filter(|row| sight.sees(&row.name)).collect();
    if view.is_none() && below.is_empty() {
        return Err(Failure::NotFound);
    }
    let path = Target::Repository(name.clone()).path();
    let (mut list, seen) = (List::new(fields), view.clone());
    if let Some(seen) = seen {
        list = ui.registry.compute(move || list.of(&seen)).await?;
    }
    let here = |sort: &str, reverse: &str, page: &str, hidden: &str| {
        let parameters = [
            ("q", &*list.search.text),
            ("sort", sort),
            ("reverse", reverse),
            ("page", page),
            ("all", hidden),
        ];
        address::with_query(&path, &parameters)
    };
    let (reverse, hidden) = (if list.reverse { "1" } else { "" }, if list.with_hidden { "1" } else { "" });
    let (shown, pages) =
        Pages::of(list.places.len(), fields.page(), |page| here(list.sort, reverse, page, hidden));
    let columns = ["tag", "size", "created", "pushed"].map(|column| {
        let is_sorted = list.sort == column || (list.sort.is_empty() && column == "pushed");
        Column::new(column, is_sorted, list.reverse, |reverse| here(column, reverse, "", hidden))
    });
    let host = &viewer.frame.host;
    let tags = match &view {
        Some(view) => {
            let wanted = list.places[shown].iter().map(|place| view.tags()[*place as usize].clone());
            let fresh = ui.registry.fresh_tags(view, wanted.collect()).await?;
            fresh.iter().map(|(tag, entry)| TagRow::new(host, view, tag, entry.as_ref())).collect()
        }
        None => Vec::new(),
    };
    let prefix = format!("{name}/");
    Ok(RepositoryPage {
        frame: viewer.frame.clone(),
        name: name.to_string(),
        crumbs: crumbs(name),
        notice: super::actions::notice(ui, viewer, &path, fields),
        is_repository: view.is_some(),
        facts: view.as_ref().map(|view| RepositoryFacts::new(host, view)),
        columns: columns.into(),
        tags,
        pages,
        hidden: list.hidden,
        show_hidden: (list.hidden > 0).then(|| here(list.sort, reverse, "", "1")),
        hide: list.with_hidden.then(|| here(list.sort, reverse, "", "")),
        can_delete: viewer.may_delete(ui, name),
        can_push: viewer.may_push(ui, name),
        delete: view
            .as_ref()
            .filter(|view| viewer.may_delete(ui, name) && !view.is_empty())
            .map(|_| address::with_query("/ui/-/delete-repository", &[("repository", name.as_str())])),
        namespaces: tree_of(below.iter().copied(), name.components().count()),
        more_below: (below.len() > PAGE_ROWS)
            .then(|| address::with_query(address::CATALOGUE, &[("q", &prefix)])),
        below: ui.rows(below.into_iter().take(PAGE_ROWS)),
        sort: list.sort.to_owned(),
        query: list.search.text,
        path: path.clone(),
    })
}

/// Which tags are listed, and how.
struct List {
    search: Search,
    sort: &'static str,
    order: TagOrder,
    reverse: bool,
    with_hidden: bool,
    /// Places in the view, in order.
    places: Vec<u32>,
    hidden: usize,
}

impl List {
    /// What is asked for.
    fn new(fields: &Fields) -> Self {
        let (sort, order) = match fields.get("sort") {
            "tag" => ("tag", TagOrder::Name),
            "created" => ("created", TagOrder::Created),
            "size" => ("size", TagOrder::Size),
            _ => ("", TagOrder::Pushed),
        };
        Self {
            search: Search::new(fields.get("q")),
            sort,
            order,
            reverse: fields.get("reverse") == "1",
            with_hidden: fields.get("all") == "1",
            places: Vec::new(),
            hidden: 0,
        }
    }

    /// The same with what a repository has of it. Computes: not for an async thread.
    fn of(mut self, view: &RepositoryView) -> Self {
        if self.search.is_empty() && !view.has_tags_about_others() {
            self.places = view.ordered(self.order).to_vec();
        } else {
            for place in view.ordered(self.order) {
                let tag = &view.tags()[*place as usize];
                if !self.search.is_empty() && !self.search.finds(tag.tag.as_str()) {
                    continue;
                }
                if !self.with_hidden && tag.is_about_another {
                    self.hidden += 1;
                } else {
                    self.places.push(*place);
                }
            }
        }
        if self.reverse {
            self.places.reverse();
        }
        self
    }
}

impl Ui {
    /// A repository, if there is one and the viewer may see it.
    pub(super) async fn view_for(
        &self,
        viewer: &Viewer,
        name: &RepositoryName,
    ) -> Result<Option<Arc<RepositoryView>>, Failure> {
        if !viewer.may_see(self, name) {
            return Ok(None);
        }
        match self.registry.repository_view(name).await {
            Ok(view) => Ok(Some(view)),
            Err(RegistryError::NameUnknown(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl RepositoryFacts {
    fn new(host: &str, view: &RepositoryView) -> Self {
        let newest = view.newest();
        Self {
            tags: view.tags().len(),
            manifests: view.manifest_count(),
            unnamed: display::counted(view.manifest_count(), "manifest without one", "manifests without one"),
            logical: display::size(view.logical_bytes()),
            stored: display::size(view.stored_bytes()),
            pull: newest.map(|tag| pull_command(host, view, tag)),
            newest: newest.map(|tag| tag.tag.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_to_a_repository() {
        let name = "a/bc/d".parse().expect("a name");
        let shown: Vec<_> = crumbs(&name).into_iter().map(|crumb| (crumb.text, crumb.href)).collect();
        let expected = [("a", "/ui/r/a"), ("bc", "/ui/r/a/bc"), ("d", "/ui/r/a/bc/d")];
        assert_eq!(shown, expected.map(|(text, href)| (text.to_owned(), href.to_owned())));
    }
}
