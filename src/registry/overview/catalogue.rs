//! All repositories at a glance, at a moment.

use std::{
    cmp::{Ordering, Reverse},
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use super::{Namespaces, RepositoryView};
use crate::oci::{Digest, RepositoryName, Tag};

/// All repositories at a moment.
#[derive(Debug)]
pub struct Catalogue {
    /// In the order of their path components.
    rows: Vec<Arc<CatalogueRow>>,
    unread: usize,
    orders: [OnceLock<Box<[u32]>>; 3],
    namespaces: OnceLock<Namespaces>,
}

/// How repositories are ordered; what is not known yet comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogueOrder {
    /// By their path components.
    Name,
    /// By the last push, the newest first.
    Pushed,
    /// By what is stored, the most first.
    Size,
    /// By the number of tags, the most first.
    Tags,
}

/// A repository in a list.
#[derive(Clone, Debug)]
pub struct CatalogueRow {
    /// Its name.
    pub name: RepositoryName,
    /// What is known of it; `None` before it was read.
    pub facts: Option<CatalogueFacts>,
}

/// What a list shows of a repository.
#[derive(Clone, Debug)]
pub struct CatalogueFacts {
    /// How many tags it has.
    pub tags: usize,
    /// How many manifests it has, tagged or not.
    pub manifests: usize,
    /// When a tag was last written, by the clock of the file server.
    pub pushed: Option<SystemTime>,
    /// The tag written last, what it names, and the platforms of that.
    pub newest: Option<(Tag, Digest, Vec<String>)>,
    /// Bytes stored for it, each blob once.
    pub stored: u64,
}

impl Catalogue {
    pub(super) fn new(rows: Vec<Arc<CatalogueRow>>) -> Self {
        let unread = rows.iter().filter(|row| row.facts.is_none()).count();
        Self { rows, unread, orders: Default::default(), namespaces: OnceLock::new() }
    }

    /// How many have not been read yet.
    pub(super) fn unread(&self) -> usize {
        self.unread
    }

    /// The repositories in the order of their path components.
    pub fn rows(&self) -> &[Arc<CatalogueRow>] {
        &self.rows
    }

    /// The repositories in an order. Made once for each list.
    pub fn ordered(&self, order: CatalogueOrder) -> impl DoubleEndedIterator<Item = &Arc<CatalogueRow>> {
        let index = match order {
            CatalogueOrder::Name => None,
            CatalogueOrder::Pushed => Some(0),
            CatalogueOrder::Size => Some(1),
            CatalogueOrder::Tags => Some(2),
        };
        let places = index.map(|index| self.orders[index].get_or_init(|| self.sort(order)));
        (0..self.rows.len()).map(move |place| {
            let place = places.map_or(place, |places| places[place] as usize);
            &self.rows[place]
        })
    }

    fn sort(&self, order: CatalogueOrder) -> Box<[u32]> {
        let mut places: Vec<u32> = (0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX)).collect();
        let facts = |place: &u32| self.rows[*place as usize].facts.as_ref();
        match order {
            CatalogueOrder::Name => {}
            CatalogueOrder::Pushed => {
                places.sort_by_key(|place| Reverse(facts(place).map(|facts| facts.pushed)));
            }
            CatalogueOrder::Size => {
                places.sort_by_key(|place| Reverse(facts(place).map(|facts| facts.stored)));
            }
            CatalogueOrder::Tags => {
                places.sort_by_key(|place| Reverse(facts(place).map(|facts| facts.tags)));
            }
        }
        places.into()
    }

    /// The paths above the repositories. Made once for each list.
    pub fn namespaces(&self) -> &Namespaces {
        self.namespaces.get_or_init(|| Namespaces::of(self.rows.iter().map(|row| row.name.as_str())))
    }

    /// The rows whose names begin with `path/`.
    pub fn below(&self, path: &RepositoryName) -> &[Arc<CatalogueRow>] {
        let prefix = format!("{path}/");
        let is_below = |row: &Arc<CatalogueRow>| row.name.as_str().starts_with(&prefix);
        let start = self.rows.partition_point(|row| in_order(&row.name, path) != Ordering::Greater);
        let count = self.rows[start..].iter().take_while(|row| is_below(row)).count();
        &self.rows[start..start + count]
    }
}

impl CatalogueRow {
    pub(super) fn new(view: &RepositoryView) -> Self {
        let newest = view.newest();
        Self {
            name: view.name().clone(),
            facts: Some(CatalogueFacts {
                tags: view.tags().len(),
                manifests: view.manifest_count(),
                pushed: newest.map(|tag| tag.pushed),
                newest: newest.map(|tag| {
                    let platforms = tag.manifest.as_ref().map(|manifest| manifest.platforms.clone());
                    (tag.tag.clone(), tag.digest.clone(), platforms.unwrap_or_default())
                }),
                stored: view.stored_bytes(),
            }),
        }
    }
}

/// `a`, `a/b`, `a-b`: by path components.
pub(super) fn in_order(one: &RepositoryName, other: &RepositoryName) -> Ordering {
    one.components().cmp(other.components())
}
