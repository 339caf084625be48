//! A repository: its tags, and the repositories below it.

use std::cmp::Reverse;

use askama::Template;

use super::{
    Parameters, Ui, address,
    address::Target,
    catalogue::{PAGE_ROWS, Row, Search},
    display::{self, Moment, ShownDigest},
    image,
    response::Failure,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::{Reference, RepositoryName, Tag},
    registry::{RegistryError, TagDetail, image_summary::ImageSummary},
};

/// Names asked of the registry at once while filtering.
const SEARCH_STEP: usize = 10_000;
/// Platforms written out in a row.
const SHOWN_PLATFORMS: usize = 4;

#[derive(Template)]
#[template(path = "repository.html")]
pub(super) struct RepositoryPage {
    frame: Frame,
    name: String,
    path: String,
    crumbs: Vec<Crumb>,
    /// Whether images can be pushed and pulled by this very name.
    is_repository: bool,
    query: String,
    tags: Vec<TagRow>,
    /// Links to the other orders, where the table has them all.
    order: Option<Order>,
    first: Option<String>,
    next: Option<String>,
    below: Vec<Row>,
    more_below: Option<String>,
    /// The command for the tag pushed last.
    pull: Option<String>,
}

struct TagRow {
    tag: String,
    href: String,
    pull: Option<String>,
    digest: ShownDigest,
    digest_href: String,
    kind: String,
    platforms: Vec<String>,
    more_platforms: usize,
    size: Option<String>,
    size_range: Option<(String, String)>,
    created: Option<Moment>,
    pushed: Option<Moment>,
}

/// How a table that has all tags is sorted.
struct Order {
    by_name: bool,
    name_href: String,
    pushed_href: String,
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
    parameters: &Parameters,
) -> Result<RepositoryPage, Failure> {
    let search = Search::new(&parameters.q);
    let last = Some(parameters.last.as_str()).filter(|last| !last.is_empty());
    let found = if viewer.may_see(ui, name) { ui.tags(name, last, &search).await? } else { None };
    let is_repository = found.is_some();
    let (below, more_below) = ui.repositories_below(viewer, name).await?;
    if !is_repository && below.is_empty() {
        return Err(Failure::NotFound);
    }
    let (tags, more) = found.unwrap_or_default();
    let mut details = if tags.is_empty() { Vec::new() } else { ui.registry.tag_details(name, &tags).await? };
    let host = &viewer.frame.host;
    let newest = details.iter().max_by_key(|detail| detail.pushed);
    let pull = newest.and_then(|detail| pull_command(host, name, detail));
    let path = Target::Repository(name.clone()).path();
    let here =
        |last, sort| address::with_query(&path, &[("q", &search.text), ("sort", sort), ("last", last)]);
    // Sorting by time is honest only over all tags; a page of many is in the order of their names.
    let order = (!more && last.is_none()).then(|| Order {
        by_name: parameters.sort == "name",
        name_href: here("", "name"),
        pushed_href: here("", ""),
    });
    if order.as_ref().is_some_and(|order| !order.by_name) {
        details.sort_by_key(|detail| Reverse(detail.pushed));
    }
    Ok(RepositoryPage {
        frame: viewer.frame.clone(),
        name: name.to_string(),
        crumbs: crumbs(name),
        is_repository,
        tags: details.iter().map(|detail| TagRow::new(host, name, detail)).collect(),
        order,
        first: last.map(|_| here("", "")),
        next: tags.last().filter(|_| more).map(|last| here(last.as_str(), "")),
        below,
        more_below: more_below
            .then(|| address::with_query(address::CATALOGUE, &[("q", &format!("{name}/"))])),
        pull,
        query: search.text.clone(),
        path: path.clone(),
    })
}

impl Ui {
    /// The first tags after `last` that are searched for, at most a page, and whether there are more; `None`
    /// when there is no such repository.
    async fn tags(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        search: &Search,
    ) -> Result<Option<(Vec<Tag>, bool)>, Failure> {
        let step = if search.is_empty() { PAGE_ROWS + 1 } else { SEARCH_STEP };
        let (mut found, mut last) = (Vec::new(), last.map(str::to_owned));
        loop {
            let page = match self.registry.tags(name, last.as_deref(), step).await {
                Ok(page) => page,
                Err(RegistryError::NameUnknown(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            last = page.items.last().map(Tag::to_string);
            let room = PAGE_ROWS + 1 - found.len();
            found.extend(page.items.into_iter().filter(|tag| search.finds(tag.as_str())).take(room));
            if found.len() > PAGE_ROWS || !page.more || last.is_none() {
                let more = found.len() > PAGE_ROWS;
                found.truncate(PAGE_ROWS);
                return Ok(Some((found, more)));
            }
        }
    }
}

/// The plain way to get what a tag names; `None` when it is not known what that is.
fn pull_command(host: &str, name: &RepositoryName, detail: &TagDetail) -> Option<String> {
    let commands = detail.summary.as_ref()?.commands(host, name, &Reference::Tag(detail.tag.clone()));
    commands.into_iter().next().map(|command| command.line)
}

impl TagRow {
    fn new(host: &str, name: &RepositoryName, detail: &TagDetail) -> Self {
        let reference = Reference::Tag(detail.tag.clone());
        let summary = detail.summary.as_deref();
        let platforms = summary.map(|summary| summary.platforms.as_slice()).unwrap_or_default();
        Self {
            tag: detail.tag.to_string(),
            pull: pull_command(host, name, detail),
            href: Target::Image(name.clone(), reference).path(),
            digest: ShownDigest::new(&detail.digest),
            digest_href: Target::Image(name.clone(), Reference::Digest(detail.digest.clone())).path(),
            kind: summary.map_or_else(|| "not shown".to_owned(), image::kind),
            platforms: platforms.iter().take(SHOWN_PLATFORMS).cloned().collect(),
            more_platforms: platforms.len().saturating_sub(SHOWN_PLATFORMS),
            size: summary.map(|summary| display::size(summary.compressed_size)),
            size_range: summary.and_then(ImageSummary::shown_size_range),
            created: summary.and_then(|summary| summary.created).and_then(Moment::new),
            pushed: Moment::of_system(detail.pushed),
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
