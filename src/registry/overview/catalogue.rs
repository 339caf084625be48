//! All repositories at a glance, at a moment.

use std::{
    cmp::{Ordering, Reverse},
    ops::Range,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use super::{
    Namespaces, RepositoryView,
    rows::{Change, Row, Rows},
};
use crate::oci::{Digest, RepositoryName, Tag};

/// All repositories at a moment.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// In the order of their path components.
    rows: Rows<CatalogueRow>,
    namespaces: OnceLock<Arc<Namespaces>>,
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

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CatalogueKey {
    Pushed(Option<SystemTime>),
    Number(u64),
}

/// A repository in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueRow {
    /// Its name.
    pub name: RepositoryName,
    /// What is known of it; `None` before it was read.
    pub facts: Option<CatalogueFacts>,
}

/// What a list shows of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Some repositories counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatalogueTotals {
    /// Their tags.
    pub tags: usize,
    /// Bytes, what repositories share in each of them.
    pub stored: u128,
    /// Those that are not read yet.
    pub unread: usize,
}

impl Catalogue {
    /// Of some repositories.
    pub fn of(rows: impl IntoIterator<Item = Arc<CatalogueRow>>) -> Self {
        Self::default().amended(rows.into_iter().map(|row| (row.name.clone(), Some(row))).collect())
    }

    /// As it is after repositories came, changed, or went: of these there is no row.
    pub(super) fn amended(&self, changes: Vec<Change<CatalogueRow>>) -> Self {
        let has_same_names = changes.iter().all(|(name, row)| self.rows.get(name).is_some() == row.is_some());
        let namespaces = self.namespaces.get().filter(|_| has_same_names).cloned();
        Self {
            rows: self.rows.amended(changes),
            namespaces: namespaces.map_or_else(OnceLock::new, OnceLock::from),
        }
    }

    /// As it is when these are all the repositories. What is as it was keeps its place in each order.
    pub(super) fn replaced(&self, rows: &[Arc<CatalogueRow>]) -> Self {
        self.amended(self.rows.changes_to(rows))
    }

    /// The repositories in the order of their path components.
    pub fn rows(&self) -> &[Arc<CatalogueRow>] {
        self.rows.all()
    }

    /// All of them counted.
    pub fn totals(&self) -> CatalogueTotals {
        *self.rows.totals()
    }

    /// Some of them counted, by their places.
    pub fn totals_of(&self, places: impl Iterator<Item = usize>) -> CatalogueTotals {
        let mut totals = CatalogueTotals::default();
        places.for_each(|place| self.rows()[place].add_to(&mut totals));
        totals
    }

    /// The repositories in an order, each as its place in [`Self::rows`].
    pub fn ordered(&self, order: CatalogueOrder) -> &[u32] {
        self.rows.ordered(order)
    }

    /// The paths above the repositories. Made once for each list.
    pub fn namespaces(&self) -> &Namespaces {
        let make = || Arc::new(Namespaces::of(self.rows().iter().map(|row| row.name.as_str())));
        self.namespaces.get_or_init(make)
    }

    /// The place of a repository in [`Self::rows`].
    pub fn place(&self, name: &RepositoryName) -> Option<usize> {
        self.rows.place(name).ok()
    }

    /// The places of the rows whose names begin with `path/`.
    pub fn below(&self, path: &RepositoryName) -> Range<usize> {
        let start = self.rows.place(path).map_or_else(|place| place, |place| place + 1);
        let is_below = |row: &Arc<CatalogueRow>| {
            row.name.components().zip(path.components()).all(|(one, other)| one == other)
        };
        start..start + self.rows()[start..].partition_point(is_below)
    }
}

impl Row for CatalogueRow {
    type Name = RepositoryName;
    type Order = CatalogueOrder;
    type Key = Reverse<Option<CatalogueKey>>;
    type Totals = CatalogueTotals;
    const ORDERS: &'static [CatalogueOrder] =
        &[CatalogueOrder::Name, CatalogueOrder::Pushed, CatalogueOrder::Size, CatalogueOrder::Tags];

    fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// `a`, `a/b`, `a-b`: by path components.
    fn compare(one: &RepositoryName, other: &RepositoryName) -> Ordering {
        one.components().cmp(other.components())
    }

    fn key(&self, order: CatalogueOrder) -> Self::Key {
        let key = |facts: &CatalogueFacts| match order {
            CatalogueOrder::Name => None,
            CatalogueOrder::Pushed => Some(CatalogueKey::Pushed(facts.pushed)),
            CatalogueOrder::Size => Some(CatalogueKey::Number(facts.stored)),
            CatalogueOrder::Tags => Some(CatalogueKey::Number(facts.tags as u64)),
        };
        // Rows with equal keys are in the order of their names.
        Reverse(self.facts.as_ref().and_then(key))
    }

    fn add_to(&self, totals: &mut CatalogueTotals) {
        match &self.facts {
            Some(facts) => {
                totals.tags += facts.tags;
                totals.stored += u128::from(facts.stored);
            }
            None => totals.unread += 1,
        }
    }

    fn take_from(&self, totals: &mut CatalogueTotals) {
        match &self.facts {
            Some(facts) => {
                totals.tags -= facts.tags;
                totals.stored -= u128::from(facts.stored);
            }
            None => totals.unread -= 1,
        }
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
