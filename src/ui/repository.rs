//! A repository: its tags, and the repositories below it.

use std::sync::Arc;

use askama::Template;

use super::{
    Ui, address,
    address::Target,
    catalogue::{Row, tree_of},
    display,
    fields::Fields,
    pages::PAGE_ROWS,
    response::Failure,
    sight::Sight,
    tag_row::pull_command,
    tag_table::TagTable,
    tree::Tree,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::RepositoryName,
    registry::{CatalogueRow, RegistryError, RepositoryView},
};

#[derive(Template)]
#[template(path = "repository.html")]
pub(super) struct RepositoryPage {
    frame: Frame,
    name: String,
    crumbs: Vec<Crumb>,
    /// What is said about something just done.
    notice: Option<String>,
    /// Of what images are pushed to and pulled from by this very name; `None` of a path above some.
    facts: Option<RepositoryFacts>,
    tags: Option<TagTable>,
    can_delete: bool,
    can_push: bool,
    /// The page that asks before all of it is deleted.
    delete: Option<String>,
    below: Below,
}

/// The repositories below.
struct Below {
    namespaces: Tree,
    rows: Vec<Row>,
    more: Option<String>,
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
    let below = catalogue.rows()[catalogue.below(name)].iter();
    let below: Vec<_> = below.filter(|row| sight.sees(&row.name)).collect();
    if view.is_none() && below.is_empty() {
        return Err(Failure::NotFound);
    }
    let path = Target::Repository(name.clone()).path();
    let host = &viewer.frame.host;
    let tags = match &view {
        Some(view) => Some(TagTable::of(ui, host, view, &path, fields).await?),
        None => None,
    };
    let can_delete = viewer.may_delete(ui, name);
    let is_empty = view.as_ref().is_none_or(|view| view.is_empty());
    let delete = || address::with_query("/ui/-/delete-repository", &[("repository", name.as_str())]);
    Ok(RepositoryPage {
        frame: viewer.frame.clone(),
        name: name.to_string(),
        crumbs: crumbs(name),
        notice: super::actions::notice(ui, viewer, &path, fields),
        facts: view.as_ref().map(|view| RepositoryFacts::new(host, view)),
        tags,
        can_delete,
        can_push: viewer.may_push(ui, name),
        delete: (can_delete && !is_empty).then(delete),
        below: Below::new(ui, name, &below),
    })
}

impl Below {
    fn new(ui: &Ui, name: &RepositoryName, rows: &[&Arc<CatalogueRow>]) -> Self {
        let prefix = format!("{name}/");
        let all = || address::with_query(address::CATALOGUE, &[("q", &prefix)]);
        Self {
            namespaces: tree_of(rows.iter().copied(), name.components().count()),
            rows: ui.rows(rows.iter().copied().take(PAGE_ROWS)),
            more: (rows.len() > PAGE_ROWS).then(all),
        }
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
