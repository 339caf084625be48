//! Reading all repositories for the list of them, and again those that changed. The list is kept once somebody looked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    catalogue::{Catalogue, CatalogueRow},
    catalogue_state::{ReadingOfAll, Taken},
};
use crate::{
    oci::RepositoryName,
    registry::{Registry, RegistryError, blocking::Work},
    storage::Storage,
};

/// How long a page waits for the first list.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the first page waits for all to be read: on a small volume it is complete.
const WHOLE_WITHIN: Duration = Duration::from_secs(2);
/// Repositories read in one call on the volume.
const STEP: usize = 64;

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
            let (current, is_reading) = state.now();
            match current {
                Some(current) if current.totals().unread == 0 || Instant::now() >= whole_by => break,
                // It failed.
                Some(_) if !is_reading => break,
                None if !is_reading => return Err(RegistryError::Unavailable(PATIENCE)),
                _ => {}
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
                () = &mut patience => return Err(RegistryError::Unavailable(PATIENCE)),
            }
        }
        self.take_changes().await?;
        state.now().0.ok_or(RegistryError::Unavailable(PATIENCE))
    }

    fn read_catalogue_if_old(&self) {
        let Some(reading) = ReadingOfAll::begin(self) else { return };
        tokio::spawn(async move {
            if let Err(error) = reading.registry.read_catalogue().await {
                tracing::warn!(%error, "the repositories could not all be read for the pages");
            }
        });
    }

    /// Reads all names, then what each is.
    pub(super) async fn read_catalogue(&self) -> Result<(), RegistryError> {
        let list = |storage: &Storage| storage.list_repositories(None, usize::MAX);
        let names = self.storage(Work::Lookup, list).await?;
        let is_first = self.inner.overviews.catalogue.now().0.is_none();
        let mut rows: Vec<_> =
            names.iter().map(|name| Arc::new(CatalogueRow { name: name.clone(), facts: None })).collect();
        let mut shown = Instant::now();
        if is_first {
            self.publish(rows.clone()).await?;
        }
        for (step, names) in names.chunks(STEP).enumerate() {
            for (index, row) in self.read_rows(names.to_vec()).await?.into_iter().enumerate() {
                // One that is gone meanwhile is left out below.
                rows[step * STEP + index] =
                    row.unwrap_or_else(|| Arc::new(CatalogueRow { name: names[index].clone(), facts: None }));
            }
            if is_first && shown.elapsed() > Duration::from_millis(500) {
                self.publish(rows.clone()).await?;
                shown = Instant::now();
            }
        }
        rows.retain(|row| row.facts.is_some());
        self.publish(rows).await
    }

    async fn publish(&self, rows: Vec<Arc<CatalogueRow>>) -> Result<(), RegistryError> {
        let registry = self.clone();
        self.compute(move || registry.inner.overviews.catalogue.publish(&rows)).await
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
    pub(super) async fn take_changes(&self) -> Result<(), RegistryError> {
        let alone = self.inner.overviews.catalogue.changes.clone().lock_owned().await;
        let taken = Taken::of(self);
        if taken.names.is_empty() {
            return Ok(());
        }
        let read = self.read_rows(taken.names.clone()).await?;
        let put = move || {
            taken.put(read);
            // Not before, also when the page that began this is not waited for any more.
            drop(alone);
        };
        self.compute(put).await
    }
}
