//! All repositories at a glance, kept while somebody looks at pages.

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

use super::{Namespaces, RepositoryView};
use crate::{
    oci::{RepositoryName, Tag},
    registry::{Registry, RegistryError, blocking::Work},
    storage::Storage,
};

/// The list is read again when it is older than this, and than 20 times what reading it takes.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// How long a page waits for the first list.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the first page waits for all to be read: on a small volume it is complete.
const WHOLE_WITHIN: Duration = Duration::from_secs(2);
/// Repositories read in one call on the volume.
const STEP: usize = 64;
/// Repositories that changed and are read before a page is made; more are left to the next reading of all.
const MAX_INLINE: usize = 200;

/// All repositories at a moment.
#[derive(Debug)]
pub struct Catalogue {
    /// In the order of their path components.
    rows: Vec<Arc<CatalogueRow>>,
    unread: usize,
    taken: Instant,
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
    /// The tag written last, and the platforms of what it names.
    pub newest: Option<(Tag, Vec<String>)>,
    /// Bytes stored for it, each blob once.
    pub stored: u64,
}

#[derive(Default)]
pub(super) struct CatalogueState {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Inner {
    current: Option<Arc<Catalogue>>,
    touched: BTreeSet<RepositoryName>,
    is_reading: bool,
    /// When the last reading of all began, and how long it took.
    last: Option<(Instant, Duration)>,
}

impl Catalogue {
    fn new(rows: Vec<Arc<CatalogueRow>>, taken: Instant) -> Self {
        let unread = rows.iter().filter(|row| row.facts.is_none()).count();
        Self { rows, unread, taken, orders: Default::default(), namespaces: OnceLock::new() }
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
    fn new(view: &RepositoryView) -> Self {
        let newest = view.newest();
        Self {
            name: view.name().clone(),
            facts: Some(CatalogueFacts {
                tags: view.tags().len(),
                manifests: view.manifest_count(),
                pushed: newest.map(|tag| tag.pushed),
                newest: newest.map(|tag| {
                    let platforms = tag.manifest.as_ref().map(|manifest| manifest.platforms.clone());
                    (tag.tag.clone(), platforms.unwrap_or_default())
                }),
                stored: view.stored_bytes(),
            }),
        }
    }
}

/// `a`, `a/b`, `a-b`: by path components.
fn in_order(one: &RepositoryName, other: &RepositoryName) -> Ordering {
    one.components().cmp(other.components())
}

impl CatalogueState {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self, repository: &RepositoryName) {
        let mut inner = self.lock();
        // Nobody looks: the first reading sees it.
        if inner.current.is_some() || inner.is_reading {
            inner.touched.insert(repository.clone());
        }
    }

    fn publish(&self, rows: Vec<Arc<CatalogueRow>>) {
        self.lock().current = Some(Arc::new(Catalogue::new(rows, Instant::now())));
        self.changed.send_replace(());
    }
}

impl Registry {
    /// All repositories. The first time it is read from the volume, which may take long: then what is not known yet is
    /// missing from the rows, and filled in by and by.
    pub async fn catalogue(&self) -> Result<Arc<Catalogue>, RegistryError> {
        self.follow_journal().await?;
        let state = &self.inner.overviews.catalogue;
        let mut changed = state.changed.subscribe();
        self.read_catalogue_if_old();
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        let whole_by = Instant::now() + WHOLE_WITHIN;
        loop {
            let current = state.lock().current.clone();
            if let Some(current) = current
                && (current.unread == 0 || Instant::now() >= whole_by)
            {
                break;
            }
            if !state.lock().is_reading {
                // It failed.
                return match state.lock().current {
                    Some(_) => break,
                    None => Err(RegistryError::Unavailable(PATIENCE)),
                };
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
                () = &mut patience => return Err(RegistryError::Unavailable(PATIENCE)),
            }
        }
        self.take_changes().await?;
        let current = state.lock().current.clone();
        current.ok_or(RegistryError::Unavailable(PATIENCE))
    }

    fn read_catalogue_if_old(&self) {
        let state = &self.inner.overviews.catalogue;
        {
            let mut inner = state.lock();
            let is_young =
                inner.last.is_some_and(|(began, took)| began.elapsed() < READ_AGAIN.max(took * 20));
            if inner.is_reading || (is_young && inner.current.is_some()) {
                return;
            }
            inner.is_reading = true;
        }
        let registry = self.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            if let Err(error) = registry.read_catalogue().await {
                tracing::warn!(%error, "the repositories could not all be read for the pages");
            }
            let state = &registry.inner.overviews.catalogue;
            let mut inner = state.lock();
            inner.is_reading = false;
            inner.last = Some((began, began.elapsed()));
            drop(inner);
            state.changed.send_replace(());
        });
    }

    /// Reads all names, then what each is.
    async fn read_catalogue(&self) -> Result<(), RegistryError> {
        let state = &self.inner.overviews.catalogue;
        let list = |storage: &Storage| storage.list_repositories(None, usize::MAX);
        let names = self.storage(Work::Lookup, list).await?;
        let is_first = state.lock().current.is_none();
        let mut rows: Vec<_> =
            names.iter().map(|name| Arc::new(CatalogueRow { name: name.clone(), facts: None })).collect();
        let mut shown = Instant::now();
        if is_first {
            state.publish(rows.clone());
        }
        for (step, names) in names.chunks(STEP).enumerate() {
            for (index, row) in self.read_rows(names.to_vec()).await?.into_iter().enumerate() {
                // One that is gone meanwhile is left out below.
                rows[step * STEP + index] =
                    row.unwrap_or_else(|| Arc::new(CatalogueRow { name: names[index].clone(), facts: None }));
            }
            if is_first && shown.elapsed() > Duration::from_millis(500) {
                state.publish(rows.clone());
                shown = Instant::now();
            }
        }
        rows.retain(|row| row.facts.is_some());
        state.publish(rows);
        Ok(())
    }

    async fn read_rows(
        &self,
        names: Vec<RepositoryName>,
    ) -> Result<Vec<Option<Arc<CatalogueRow>>>, RegistryError> {
        let (registry, summarizer) = (self.clone(), self.summarizer());
        let look = move |storage: &Storage| {
            let overviews = &registry.inner.overviews;
            let row = |name| {
                // What was deleted whole leaves its directory, and a first push begins with one.
                let view = overviews.look(storage, &summarizer, name)?.filter(|view| !view.is_empty());
                Ok(view.map(|view| Arc::new(CatalogueRow::new(&view))))
            };
            names.iter().map(row).collect()
        };
        self.storage(Work::Lookup, look).await
    }

    /// Reads the repositories that changed since the list was made.
    async fn take_changes(&self) -> Result<(), RegistryError> {
        let state = &self.inner.overviews.catalogue;
        let names: Vec<_> = {
            let mut inner = state.lock();
            let names: Vec<_> = inner.touched.iter().take(MAX_INLINE).cloned().collect();
            for name in &names {
                inner.touched.remove(name);
            }
            names
        };
        if names.is_empty() {
            return Ok(());
        }
        let read = self.read_rows(names.clone()).await?;
        let mut inner = state.lock();
        let Some(current) = inner.current.clone() else { return Ok(()) };
        let mut rows = current.rows.clone();
        for (name, row) in names.iter().zip(read) {
            let place = rows.binary_search_by(|known| in_order(&known.name, name));
            match (place, row) {
                (Ok(place), Some(row)) => rows[place] = row,
                (Err(place), Some(row)) => rows.insert(place, row),
                (Ok(place), None) => drop(rows.remove(place)),
                (Err(_), None) => {}
            }
        }
        inner.current = Some(Arc::new(Catalogue::new(rows, current.taken)));
        Ok(())
    }
}
