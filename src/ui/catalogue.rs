//! The first page: which repositories there are.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Parameters, Ui, address,
    display::Moment,
    response::Failure,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::RepositoryName,
    registry::{RegistryError, RepositoryOverview},
};

/// Rows of one page, here and in a repository.
pub(super) const PAGE_ROWS: usize = 100;
/// Names asked of the registry at once while searching.
const SEARCH_STEP: usize = 1000;
/// Repositories looked at side by side: a page of them is one wait on the volume, not a hundred.
const LOOK_AHEAD: usize = 8;
/// Longest search, in bytes; what follows is ignored.
const MAX_SEARCH: usize = 255;

#[derive(Template)]
#[template(path = "catalogue.html")]
struct CataloguePage {
    frame: Frame,
    query: String,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
    nothing_stored: bool,
}

/// A repository in a table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) tags: usize,
    pub(super) pushed: Option<Moment>,
}

/// The catalogue.
pub(super) async fn show(
    State(ui): State<Arc<Ui>>,
    viewer: Viewer,
    Query(parameters): Query<Parameters>,
) -> Response {
    viewer.answer(page(&ui, &viewer, &parameters).await)
}

async fn page(ui: &Ui, viewer: &Viewer, parameters: &Parameters) -> Result<CataloguePage, Failure> {
    viewer.require_catalogue(ui)?;
    let search = Search::new(&parameters.q);
    let last = Some(parameters.last.as_str()).filter(|last| !last.is_empty());
    let wanted = |name: &RepositoryName| search.finds(name.as_str()) && viewer.may_see(ui, name);
    let (names, more) = ui.repositories(last, search.is_empty(), wanted).await?;
    let here = |last| address::with_query(address::CATALOGUE, &[("q", &search.text), ("last", last)]);
    Ok(CataloguePage {
        next: names.last().filter(|_| more).map(|last| here(last.as_str())),
        first: last.map(|_| here("")),
        nothing_stored: names.is_empty() && search.is_empty() && last.is_none(),
        rows: ui.rows(&names).await?,
        frame: viewer.frame.clone(),
        query: search.text,
    })
}

impl Ui {
    /// The first repositories after `last` that are wanted, at most a page, and whether there are more.
    async fn repositories(
        &self,
        last: Option<&str>,
        wants_all: bool,
        wanted: impl Fn(&RepositoryName) -> bool,
    ) -> Result<(Vec<RepositoryName>, bool), Failure> {
        let step = if wants_all { PAGE_ROWS + 1 } else { SEARCH_STEP };
        let (mut found, mut last) = (Vec::new(), last.map(str::to_owned));
        loop {
            let page = self.registry.repositories(last.as_deref(), step).await?;
            last = page.items.last().map(RepositoryName::to_string);
            found
                .extend(page.items.into_iter().filter(|name| wanted(name)).take(PAGE_ROWS + 1 - found.len()));
            if found.len() > PAGE_ROWS || !page.more || last.is_none() {
                let more = found.len() > PAGE_ROWS;
                found.truncate(PAGE_ROWS);
                return Ok((found, more));
            }
        }
    }

    /// The repositories below a path, at most a page, and whether there are more.
    pub(super) async fn repositories_below(
        &self,
        viewer: &Viewer,
        path: &RepositoryName,
    ) -> Result<(Vec<Row>, bool), Failure> {
        let prefix = format!("{path}/");
        let (mut names, mut last) = (Vec::new(), path.to_string());
        loop {
            // The registry's order has all that is below a path right after it.
            let page = self.registry.repositories(Some(&last), PAGE_ROWS + 1).await?;
            let below = page.items.iter().take_while(|name| name.as_str().starts_with(&prefix));
            let mut seen = 0;
            for name in below {
                seen += 1;
                if viewer.may_see(self, name) && names.len() <= PAGE_ROWS {
                    names.push(name.clone());
                }
            }
            let ends = seen < page.items.len() || !page.more || page.items.is_empty();
            if ends || names.len() > PAGE_ROWS {
                break;
            }
            last = page.items.last().map(RepositoryName::to_string).unwrap_or_default();
        }
        let more = names.len() > PAGE_ROWS;
        names.truncate(PAGE_ROWS);
        Ok((self.rows(&names).await?, more))
    }

    /// Repositories with their overviews; one that is deleted meanwhile is left out.
    async fn rows(&self, names: &[RepositoryName]) -> Result<Vec<Row>, Failure> {
        stream::iter(names.to_vec())
            .map(|name| self.row(name))
            .buffered(LOOK_AHEAD)
            .try_filter_map(|row| async move { Ok(row) })
            .try_collect()
            .await
    }

    async fn row(&self, name: RepositoryName) -> Result<Option<Row>, Failure> {
        match self.registry.repository_overview(&name).await {
            Ok(overview) => Ok(Some(Row::new(&name, overview))),
            Err(RegistryError::NameUnknown(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Row {
    fn new(name: &RepositoryName, overview: RepositoryOverview) -> Self {
        Self {
            name: name.to_string(),
            href: address::Target::Repository(name.clone()).path(),
            tags: overview.tag_count,
            pushed: overview.last_pushed.and_then(Moment::of_system),
        }
    }
}

/// Words that must all occur in a name, in any order and case.
pub(super) struct Search {
    /// As typed.
    pub(super) text: String,
    words: Vec<String>,
}

impl Search {
    pub(super) fn new(text: &str) -> Self {
        let text = text[..text.floor_char_boundary(MAX_SEARCH)].trim().to_owned();
        let words = text.split_whitespace().map(str::to_lowercase).collect();
        Self { text, words }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(super) fn finds(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.words.iter().all(|word| name.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_wants_every_word() {
        assert!(Search::new(" App  TEAM ").finds("team/my-app"));
        assert!(!Search::new("app x").finds("team/my-app"));
        assert!(Search::new("   ").is_empty() && Search::new("").finds("a"));
        assert_eq!(Search::new(&"é".repeat(400)).text.len(), 254);
    }
}
