//! What of the catalogue a viewer may see, and what a search finds of that.

use std::sync::Arc;

use super::{
    address::Target,
    catalogue::tree_of,
    search::{Search, contains},
    sight::Sight,
    tree::Tree,
};
use crate::{
    oci::Reference,
    registry::{Catalogue, CatalogueOrder, CatalogueRow, Missing, Registry},
};

/// Tags shown of those a search finds.
const SHOWN_TAGS: usize = 50;

/// What is looked for.
pub(super) struct Wanted {
    pub(super) search: Search,
    pub(super) order: CatalogueOrder,
    pub(super) reverse: bool,
}

/// See the module.
pub(super) struct Found {
    /// Repositories whose names have all that was looked for, in order.
    pub(super) rows: Vec<Arc<CatalogueRow>>,
    /// Tags of others, where name and tag together have it.
    pub(super) tags: Vec<FoundTag>,
    pub(super) has_more_tags: bool,
    /// Repositories whose tags were not searched.
    pub(super) missing: Missing,
    pub(super) namespaces: Tree,
    pub(super) visible: Visible,
}

/// A tag that was found.
pub(super) struct FoundTag {
    pub(super) text: String,
    pub(super) href: String,
}

/// All that the viewer may see, counted.
#[derive(Default)]
pub(super) struct Visible {
    pub(super) repositories: usize,
    pub(super) tags: usize,
    /// Bytes, what repositories share in each of them.
    pub(super) stored: u64,
    /// Repositories that are not read yet.
    pub(super) unread: usize,
}

impl Found {
    /// Computes: not for an async thread.
    pub(super) fn of(registry: &Registry, catalogue: &Catalogue, sight: &Sight, wanted: &Wanted) -> Self {
        let Wanted { search, order, reverse } = wanted;
        let visible: Vec<_> = catalogue.rows().iter().filter(|row| sight.sees(&row.name)).collect();
        let is_wanted = |row: &&Arc<CatalogueRow>| {
            (search.is_empty() || search.finds(row.name.as_str())) && sight.sees(&row.name)
        };
        let mut rows: Vec<_> = catalogue.ordered(*order).filter(is_wanted).cloned().collect();
        if *reverse {
            rows.reverse();
        }
        let namespaces = match (search.is_empty(), sight.sees_all()) {
            (true, true) => Tree::new(&catalogue.namespaces().all().iter().collect::<Vec<_>>(), 0),
            (true, false) => tree_of(&visible, 0),
            (false, _) => Tree::default(),
        };
        let mut found = Self {
            rows,
            tags: Vec::new(),
            has_more_tags: false,
            missing: Missing::default(),
            namespaces,
            visible: Visible::of(&visible),
        };
        if search.text.len() >= 2 {
            found.find_tags(registry, search, &visible);
        }
        found
    }

    /// Tags that the search finds, in repositories that it does not find.
    fn find_tags(&mut self, registry: &Registry, search: &Search, visible: &[&Arc<CatalogueRow>]) {
        let wanted = visible.iter().filter_map(|row| Some((*row, search.in_tags_of(row.name.as_str())?)));
        let has_all = |tag: &str, words: &Vec<&str>| words.iter().all(|word| contains(tag, word));
        let (tags, missing) = registry.find_tags(wanted, SHOWN_TAGS + 1, has_all);
        self.has_more_tags = tags.len() > SHOWN_TAGS;
        self.tags = tags
            .into_iter()
            .take(SHOWN_TAGS)
            .map(|(name, tag)| Target::Image(name, Reference::Tag(tag)))
            .map(|target| FoundTag { text: target.text(), href: target.path() })
            .collect();
        // Where there are more than are shown, not all were looked at.
        if !self.has_more_tags {
            self.missing = missing;
        }
    }
}

impl Visible {
    fn of(rows: &[&Arc<CatalogueRow>]) -> Self {
        let mut all = Self { repositories: rows.len(), ..Self::default() };
        for row in rows {
            match &row.facts {
                Some(facts) => {
                    all.tags += facts.tags;
                    all.stored = all.stored.saturating_add(facts.stored);
                }
                None => all.unread += 1,
            }
        }
        all
    }
}
