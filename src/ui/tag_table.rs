//! The tags of a repository as a table: which of them, in which order, and one page of that.

use std::sync::Arc;

use super::{
    Ui, address,
    catalogue::Column,
    fields::Fields,
    pages::Pages,
    response::Failure,
    search::{Search, SearchForm},
    tag_row::TagRow,
};
use crate::registry::{RepositoryView, TagOrder};

/// See the module.
pub(super) struct TagTable {
    pub(super) search: SearchForm,
    pub(super) rows: Vec<TagRow>,
    pub(super) columns: Vec<Column>,
    pub(super) pages: Pages,
    /// Tags that only carry signatures and the like, and are not shown.
    pub(super) hidden: usize,
    pub(super) show_hidden: Option<String>,
    pub(super) hide: Option<String>,
}

impl TagTable {
    /// What `fields` ask for of a repository whose page is at `path`.
    pub(super) async fn of(
        ui: &Ui,
        host: &str,
        view: &Arc<RepositoryView>,
        path: &str,
        fields: &Fields,
    ) -> Result<Self, Failure> {
        let (list, seen) = (List::new(path, fields), view.clone());
        let list = ui.registry.compute(move || list.of(&seen)).await?;
        let (reverse, with_hidden) = (list.reverse, list.with_hidden);
        let (shown, pages) = Pages::of(list.places.len(), fields.page(), |page| {
            list.address(list.sort, reverse, page, with_hidden)
        });
        let columns = ["tag", "size", "created", "pushed"].map(|column| {
            let is_sorted = list.sort == column || (list.sort.is_empty() && column == "pushed");
            let address = |reverse: &str| list.address(column, !reverse.is_empty(), "", with_hidden);
            Column::new(column, is_sorted, reverse, address)
        });
        let tags = list.places[shown].iter().map(|place| view.tags()[*place as usize].clone());
        let fresh = ui.registry.fresh_tags(view, tags.collect()).await?;
        Ok(Self {
            rows: fresh.iter().map(|(tag, entry)| TagRow::new(host, view, tag, entry.as_ref())).collect(),
            columns: columns.into(),
            pages,
            show_hidden: (list.hidden > 0).then(|| list.address(list.sort, reverse, "", true)),
            hide: with_hidden.then(|| list.address(list.sort, reverse, "", false)),
            hidden: list.hidden,
            search: list.form(),
        })
    }
}

/// Which tags are listed, and how.
struct List {
    path: String,
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
    fn new(path: &str, fields: &Fields) -> Self {
        let (sort, order) = match fields.get("sort") {
            "tag" => ("tag", TagOrder::Name),
            "created" => ("created", TagOrder::Created),
            "size" => ("size", TagOrder::Size),
            _ => ("", TagOrder::Pushed),
        };
        Self {
            path: path.to_owned(),
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

    /// The page of the same search in another order, or another page of it.
    fn address(&self, sort: &str, reverse: bool, page: &str, with_hidden: bool) -> String {
        let parameters = [
            ("q", &*self.search.text),
            ("sort", sort),
            ("reverse", flag(reverse)),
            ("page", page),
            ("all", flag(with_hidden)),
        ];
        address::with_query(&self.path, &parameters)
    }

    fn form(&self) -> SearchForm {
        let kept = [("sort", self.sort), ("reverse", flag(self.reverse)), ("all", flag(self.with_hidden))];
        SearchForm::new(&self.path, "Find a tag", &self.search, &kept)
    }
}

/// A flag in an address, where what is empty is left out.
fn flag(is_set: bool) -> &'static str {
    if is_set { "1" } else { "" }
}
