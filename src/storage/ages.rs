//! How old things on the volume are, by the clock of the file server: those of the servers may differ by minutes.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{Storage, StorageError, error::IoContext, inspection::Place, layout::LINK, lookup};
use crate::oci::{RepositoryName, Tag};

/// For how long the file server's clock is reckoned from one look at it. Each look makes a file and removes it.
const RECKONED: Duration = Duration::from_secs(600);

/// When the file server's clock was looked at, and what it said.
#[derive(Debug, Default)]
pub(super) struct LastLook(Mutex<Option<(Instant, SystemTime)>>);

impl LastLook {
    /// What a clock must show that said the same as the file server's.
    fn reckon(&self) -> Option<SystemTime> {
        let looked = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, said) = looked.map(|(at, said)| (at.elapsed(), said))?;
        (since < RECKONED).then(|| said + since)
    }

    fn remember(&self, said: SystemTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), said));
    }
}

impl Storage {
    /// How long ago a link was written, by the file server's clock; `None` when it is not there.
    pub fn link_age(&self, place: &Place) -> Result<Option<Duration>, StorageError> {
        self.age_in(&self.directory_of(place), LINK)
    }

    /// How long ago something appeared in or vanished from the directory of a tag.
    pub fn tag_age(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<Duration>, StorageError> {
        let path = self.layout.tag(repository, tag);
        let Some(directory) = lookup::open(self.layout.v2(), &path)? else { return Ok(None) };
        let modified =
            directory.metadata().and_then(|metadata| metadata.modified()).context("look up", &path)?;
        Ok(Some(self.age_of(modified)?))
    }

    /// How long ago a file or directory was written; `None` when it is not there.
    pub(super) fn age_in(&self, directory: &Path, name: &str) -> Result<Option<Duration>, StorageError> {
        let path = directory.join(name);
        let Some(file) = lookup::open(self.layout.v2(), &path)? else { return Ok(None) };
        let modified = file.metadata().and_then(|metadata| metadata.modified()).context("look up", &path)?;
        Ok(Some(self.age_of(modified)?))
    }

    fn age_of(&self, modified: SystemTime) -> Result<Duration, StorageError> {
        Ok(self.clock()?.duration_since(modified).unwrap_or_default())
    }

    /// The file server's clock, looked at once in ten minutes; this machine's where the volume cannot be written.
    pub fn clock(&self) -> Result<SystemTime, StorageError> {
        if let Some(now) = self.last_look.reckon() {
            return Ok(now);
        }
        let now = match Self::server_time(&self.layout.private()) {
            Err(StorageError::ReadOnly { .. } | StorageError::OutOfSpace { .. } | StorageError::NotFound) => {
                SystemTime::now()
            }
            result => result?,
        };
        self.last_look.remember(now);
        Ok(now)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test looks at what was made")]
mod tests {
    use super::*;
    use crate::storage::Config;

    #[test]
    fn many_ages_cost_one_look_at_the_clock() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(Config::new(directory.path())).unwrap();
        let private = storage.layout.private();
        let changed = || std::fs::metadata(&private).unwrap().modified().unwrap();
        let first = storage.clock().unwrap();
        let before = changed();
        for _ in 0..100 {
            assert!(storage.clock().unwrap() >= first);
        }
        assert_eq!(changed(), before, "nothing is made for the later ones");
    }
}
