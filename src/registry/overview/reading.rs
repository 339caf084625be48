//! Reading all repositories for the list of them, and again those that changed. The list is kept once somebody looked.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::catalogue::{Catalogue, CatalogueRow};
use crate::{
    oci::RepositoryName,
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

#[derive(Default)]
pub(super) struct CatalogueState {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
    /// Held by the page that reads what changed; the next one waits, and sees it too.
    changes: tokio::sync::Mutex<()>,
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

    pub(super) fn touch(&self, repository: &RepositoryName) {
        let mut inner = self.lock();
        // Nobody looks: the first reading sees it.
        if inner.current.is_some() || inner.is_reading {
            inner.touched.insert(repository.clone());
        }
    }

    /// Publishes what a reading of all found; what pages put into the list meanwhile is read again.
    fn publish(&self, rows: Vec<Arc<CatalogueRow>>) {
        let catalogue = Arc::new(Catalogue::of(rows));
        let mut inner = self.lock();
        inner.current = Some(catalogue);
        let taken = inner.taken_meanwhile.clone();
        inner.touched.extend(taken);
        drop(inner);
        self.changed.send_replace(());
    }

    /// Ends a reading of all that began then.
    fn end(&self, began: Instant) {
        let mut inner = self.lock();
        inner.is_reading = false;
        inner.taken_meanwhile.clear();
        inner.last = Some((began, began.elapsed()));
        drop(inner);
        self.changed.send_replace(());
    }

    /// Some of what changed, to be read now.
    fn take(&self) -> Taken<'_> {
        let mut inner = self.lock();
        let names: Vec<_> = inner.touched.iter().take(MAX_INLINE).cloned().collect();
        for name in &names {
            inner.touched.remove(name);
        }
        Taken { state: self, names }
    }
}

/// Held by who reads all, and ends that however it ends: a panic must not keep everybody waiting for ever.
struct ReadingOfAll {
    registry: Registry,
    began: Instant,
}

impl Drop for ReadingOfAll {
    fn drop(&mut self) {
        self.registry.inner.overviews.catalogue.end(self.began);
    }
}

/// Names that were taken to be read; those of which nothing came are put back.
struct Taken<'a> {
    state: &'a CatalogueState,
    names: Vec<RepositoryName>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.names.is_empty() {
            self.state.lock().touched.extend(self.names.drain(..));
        }
    }
}

impl Taken<'_> {
    /// Puts what was read into the list.
    fn put(mut self, read: Vec<Option<Arc<CatalogueRow>>>) {
        let mut inner = self.state.lock();
        let Some(current) = inner.current.clone() else { return };
        let changes = self.names.iter().cloned().zip(read).collect();
        inner.current = Some(Arc::new(current.amended(changes)));
        if inner.is_reading {
            inner.taken_meanwhile.extend(self.names.drain(..));
        } else {
            self.names.clear();
        }
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
                && (current.totals().unread == 0 || Instant::now() >= whole_by)
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
        let reading = ReadingOfAll { registry: self.clone(), began: Instant::now() };
        tokio::spawn(async move {
            if let Err(error) = reading.registry.read_catalogue().await {
                tracing::warn!(%error, "the repositories could not all be read for the pages");
            }
        });
    }

    /// Reads all names, then what each is.
    pub(super) async fn read_catalogue(&self) -> Result<(), RegistryError> {
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
        let _alone = state.changes.lock().await;
        let taken = state.take();
        if !taken.names.is_empty() {
            let read = self.read_rows(taken.names.clone()).await?;
            taken.put(read);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{oci::Reference, registry::Config, storage};

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
        state.lock().is_reading = true;
        let before = state.lock().current.clone().unwrap().rows().to_vec();
        let new = push(&registry, "new").await;
        assert!(has(&registry, &new).await);
        for _ in 0..2 {
            state.publish(before.clone());
            assert!(has(&registry, &new).await, "as long as it publishes");
        }
        state.publish(before);
        state.end(Instant::now());
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
        let state = &registry.inner.overviews.catalogue;
        state.lock().is_reading = true;
        let reading = ReadingOfAll { registry: registry.clone(), began: Instant::now() };
        let task = tokio::spawn(async move {
            let _reading = reading;
            panic!("as a bug would");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert!(!state.lock().is_reading);
        let new = push(&registry, "new").await;
        assert!(has(&registry, &new).await);
    }
}
