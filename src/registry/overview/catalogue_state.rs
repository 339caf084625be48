//! The list of all repositories as pages have it: the one of now, what changed since, and who reads it again.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::catalogue::{Catalogue, CatalogueRow};
use crate::{oci::RepositoryName, registry::Registry};

/// The list is read again when it is older than this, and than 20 times what reading it takes.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// Repositories that changed and are read before a page is made; of more, the next page reads as many.
const MAX_INLINE: usize = 200;

/// See the module.
#[derive(Default)]
pub(super) struct CatalogueState {
    inner: Mutex<Inner>,
    pub(super) changed: watch::Sender<()>,
    /// Held by the page that reads what changed; the next one waits, and sees it too.
    pub(super) changes: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Inner {
    current: Option<Arc<Catalogue>>,
    touched: BTreeSet<RepositoryName>,
    is_reading: bool,
    /// What pages read and put into the list while all was being read: what that publishes may be from before.
    taken_meanwhile: BTreeSet<RepositoryName>,
    /// When the last reading of all began, and how long it took.
    last: Option<(Instant, Duration)>,
}

impl CatalogueState {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list, if there is one, and whether all is being read.
    pub(super) fn now(&self) -> (Option<Arc<Catalogue>>, bool) {
        let inner = self.lock();
        (inner.current.clone(), inner.is_reading)
    }

    pub(super) fn touch(&self, repository: &RepositoryName) {
        let mut inner = self.lock();
        // Nobody looks: the first reading sees it.
        if inner.current.is_some() || inner.is_reading {
            inner.touched.insert(repository.clone());
        }
    }

    /// Publishes what a reading of all found; what pages put into the list meanwhile is read again. Computes.
    pub(super) fn publish(&self, rows: &[Arc<CatalogueRow>]) {
        self.amend(
            |current| current.replaced(rows),
            |inner| inner.touched.extend(inner.taken_meanwhile.iter().cloned()),
        );
        self.changed.send_replace(());
    }

    /// Makes another list of the one there is, and does `then` at the moment it counts. A push waits for the lock, so the
    /// list is made, and the old one dropped, without it: once more where another one came meanwhile.
    fn amend(&self, make: impl Fn(&Catalogue) -> Catalogue, then: impl FnOnce(&mut Inner)) {
        let none = Arc::default();
        loop {
            let before = self.lock().current.clone();
            let made = Arc::new(make(before.as_ref().unwrap_or(&none)));
            let mut inner = self.lock();
            if inner.current.as_ref().map(Arc::as_ptr) == before.as_ref().map(Arc::as_ptr) {
                inner.current = Some(made);
                then(&mut inner);
                return;
            }
        }
    }
}

/// Held by who reads all, and ends that however it ends: a panic must not keep everybody waiting for ever.
pub(super) struct ReadingOfAll {
    pub(super) registry: Registry,
    began: Instant,
}

impl ReadingOfAll {
    /// Begins to read all; `None` when that is done already, or was a moment ago.
    pub(super) fn begin(registry: &Registry) -> Option<Self> {
        let mut inner = registry.inner.overviews.catalogue.lock();
        let is_young = inner.last.is_some_and(|(began, took)| began.elapsed() < READ_AGAIN.max(took * 20));
        if inner.is_reading || (is_young && inner.current.is_some()) {
            return None;
        }
        inner.is_reading = true;
        Some(Self { registry: registry.clone(), began: Instant::now() })
    }
}

impl Drop for ReadingOfAll {
    fn drop(&mut self) {
        let state = &self.registry.inner.overviews.catalogue;
        let mut inner = state.lock();
        inner.is_reading = false;
        inner.taken_meanwhile.clear();
        inner.last = Some((self.began, self.began.elapsed()));
        drop(inner);
        state.changed.send_replace(());
    }
}

/// Names of what changed that were taken to be read; those of which nothing came are put back.
pub(super) struct Taken {
    registry: Registry,
    pub(super) names: Vec<RepositoryName>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.names.is_empty() {
            self.registry.inner.overviews.catalogue.lock().touched.extend(mem::take(&mut self.names));
        }
    }
}

impl Taken {
    /// Some of what changed, to be read now.
    pub(super) fn of(registry: &Registry) -> Self {
        let mut inner = registry.inner.overviews.catalogue.lock();
        let names: Vec<_> = inner.touched.iter().take(MAX_INLINE).cloned().collect();
        for name in &names {
            inner.touched.remove(name);
        }
        Self { registry: registry.clone(), names }
    }

    /// Puts what was read into the list. Computes.
    pub(super) fn put(mut self, read: Vec<Option<Arc<CatalogueRow>>>) {
        let registry = self.registry.clone();
        let changes: Vec<_> = self.names.iter().cloned().zip(read).collect();
        registry.inner.overviews.catalogue.amend(
            |current| current.amended(changes.clone()),
            |inner| {
                let names = mem::take(&mut self.names);
                if inner.is_reading {
                    inner.taken_meanwhile.extend(names);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bytes::Bytes;

    use super::*;
    use crate::{
        oci::Reference,
        registry::Config,
        storage::{self, Storage},
    };

    const MANIFEST: &str =
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

    async fn push(registry: &Registry, name: &str) -> RepositoryName {
        let (name, tag) = (name.parse().unwrap(), Reference::Tag("v1".parse().unwrap()));
        registry
            .put_manifest(&name, &tag, &[], None, Bytes::from_static(MANIFEST.as_bytes()), drop)
            .await
            .unwrap();
        name
    }

    fn server(directory: &tempfile::TempDir) -> Registry {
        let storage = Storage::open(storage::Config::new(directory.path().to_path_buf())).unwrap();
        Registry::new(storage, Config::default())
    }

    async fn has(registry: &Registry, name: &RepositoryName) -> bool {
        registry.catalogue().await.unwrap().rows().iter().any(|row| row.name == *name)
    }

    #[tokio::test]
    async fn what_a_page_saw_while_all_was_being_read_does_not_vanish_again() {
        let directory = tempfile::tempdir().unwrap();
        let registry = server(&directory);
        let old = push(&registry, "old").await;
        assert!(has(&registry, &old).await);
        // A reading of all that read the names before a push, and publishes after a page has seen it.
        let state = &registry.inner.overviews.catalogue;
        while state.now().1 {
            tokio::task::yield_now().await;
        }
        state.lock().last = None;
        let reading = ReadingOfAll::begin(&registry).unwrap();
        let before = state.now().0.unwrap().rows().to_vec();
        let new = push(&registry, "new").await;
        assert!(has(&registry, &new).await);
        for _ in 0..2 {
            state.publish(&before);
            assert!(has(&registry, &new).await, "as long as it publishes");
        }
        state.publish(&before);
        drop(reading);
        assert!(has(&registry, &new).await && has(&registry, &old).await);
        assert!(state.lock().taken_meanwhile.is_empty());
    }

    #[tokio::test]
    async fn what_could_not_be_read_is_read_by_the_next_page() {
        let directory = tempfile::tempdir().unwrap();
        let registry = server(&directory);
        let old = push(&registry, "old").await;
        assert!(has(&registry, &old).await);
        let new = push(&registry, "new").await;
        // The client of the page that reads it goes away, mostly before it was read: a thread may have been that quick.
        let mut page = Box::pin(registry.take_changes());
        let _ = futures_util::poll!(&mut page);
        drop(page);
        assert!(has(&registry, &new).await);
    }

    #[tokio::test]
    async fn a_reading_of_all_that_panics_is_begun_again() {
        let directory = tempfile::tempdir().unwrap();
        let registry = server(&directory);
        let reading = ReadingOfAll::begin(&registry).unwrap();
        let task = tokio::spawn(async move {
            let _reading = reading;
            panic!("as a bug would");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert!(!registry.inner.overviews.catalogue.now().1);
        let new = push(&registry, "new").await;
        assert!(has(&registry, &new).await);
    }

    #[test]
    fn what_came_while_a_list_was_made_is_in_it() {
        let state = CatalogueState::default();
        let with = |list: &Catalogue, name: &str| {
            let row = CatalogueRow { name: name.parse().unwrap(), facts: None };
            list.amended(vec![(row.name.clone(), Some(Arc::new(row)))])
        };
        let is_first = Cell::new(true);
        let slow = |current: &Catalogue| {
            if is_first.replace(false) {
                state.amend(|current| with(current, "quick"), |_| ());
            }
            with(current, "slow")
        };
        state.amend(slow, |_| ());
        let list = state.now().0.unwrap();
        assert_eq!(list.rows().iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["quick", "slow"]);
    }
}
