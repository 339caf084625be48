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
    registry::{Catalogue, CatalogueOrder, CatalogueRow, CatalogueTotals, Missing, Registry},
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
    /// Repositories whose names have all that was looked for, in order, each as its place in the catalogue.
    pub(super) places: Vec<usize>,
    /// Tags of others, where name and tag together have it.
    pub(super) tags: Vec<FoundTag>,
    pub(super) has_more_tags: bool,
    /// Repositories whose tags were not searched.
    pub(super) missing: Missing,
    pub(super) namespaces: Tree,
    /// How many repositories the viewer may see.
    pub(super) repositories: usize,
    /// These counted.
    pub(super) totals: CatalogueTotals,
}

/// A tag that was found.
pub(super) struct FoundTag {
    pub(super) text: String,
    pub(super) href: String,
}

impl Found {
    /// Computes: not for an async thread.
    pub(super) fn of(registry: &Registry, catalogue: &Catalogue, sight: &Sight, wanted: &Wanted) -> Self {
        let Wanted { search, order, reverse } = wanted;
        let visible = sight.places(catalogue);
        let mut is_visible = vec![sight.sees_all(); catalogue.rows().len()];
        visible.iter().for_each(|range| is_visible[range.clone()].fill(true));
        let name = |place: usize| catalogue.rows()[place].name.as_str();
        let is_wanted = |place: usize| is_visible[place] && (search.is_empty() || search.finds(name(place)));
        let ordered = catalogue.ordered(*order).iter().map(|place| *place as usize);
        let mut places: Vec<usize> = ordered.filter(|place| is_wanted(*place)).collect();
        if *reverse {
            places.reverse();
        }
        let rows = || visible.iter().flat_map(|range| &catalogue.rows()[range.clone()]);
        let namespaces = match (search.is_empty(), sight.sees_all()) {
            (true, true) => Tree::new(&catalogue.namespaces().all().iter().collect::<Vec<_>>(), 0),
            (true, false) => tree_of(rows(), 0),
            (false, _) => Tree::default(),
        };
        let totals = || catalogue.totals_of(visible.iter().cloned().flatten());
        let mut found = Self {
            places,
            tags: Vec::new(),
            has_more_tags: false,
            missing: Missing::default(),
            namespaces,
            repositories: visible.iter().map(ExactSizeIterator::len).sum(),
            totals: if sight.sees_all() { catalogue.totals() } else { totals() },
        };
        if search.text.len() >= 2 {
            found.find_tags(registry, search, rows());
        }
        found
    }

    /// Tags that the search finds, in repositories that it does not find.
    fn find_tags<'a>(
        &mut self,
        registry: &Registry,
        search: &Search,
        visible: impl Iterator<Item = &'a Arc<CatalogueRow>>,
    ) {
        let wanted = visible.filter_map(|row| Some((row, search.in_tags_of(row.name.as_str())?)));
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
