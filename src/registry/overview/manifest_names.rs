//! The names below which a repository has its manifests, and how far they say which are there.
//!
//! A push makes the directory first and then the file in it that counts, and a deletion may leave the directory: as
//! registry:2 does, and as a client of NFS does that has the file open. So a name of which no manifest came is looked at
//! again for a while, though the list of names is as it was.

use std::time::{Duration, Instant};

use crate::{
    oci::{Algorithm, Digest, RepositoryName},
    storage::{Names, Storage, StorageError},
};

/// How long after its name a manifest may appear.
const LATE_BY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct ManifestNames {
    names: Vec<(Algorithm, Names)>,
    /// When these names were listed first.
    listed: Instant,
    /// When it was last looked which manifests are there.
    looked: Instant,
}

impl ManifestNames {
    pub(super) fn none() -> Self {
        let now = Instant::now();
        Self { names: Vec::new(), listed: now, looked: now }
    }

    /// Those of now.
    pub(super) fn read(
        storage: &Storage,
        repository: &RepositoryName,
        known: &Self,
    ) -> Result<Self, StorageError> {
        let mut now = Self { names: storage.manifest_names(repository)?, ..Self::none() };
        if now.is_same_as(known) {
            (now.listed, now.looked) = (known.listed, known.looked);
        }
        Ok(now)
    }

    /// Whether they are known to be those of the other moment, without being compared one by one.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&(Algorithm, Names), &(Algorithm, Names))| {
            one.0 == other.0 && one.1.is_same_as(&other.1)
        };
        self.names.len() == other.names.len() && self.names.iter().zip(&other.names).all(is_same)
    }

    /// Whether a manifest that was not there below its name may be there now. Asked ever more rarely, so that thousands
    /// that were deleted are not looked for by each page.
    pub(super) fn may_be_late(&self, now: Instant) -> bool {
        let age = self.looked - self.listed;
        age < LATE_BY && now - self.looked >= age
    }

    /// Notes that it is looked from now on which manifests are there.
    pub(super) fn look(&mut self) {
        self.looked = Instant::now();
    }

    pub(super) fn count(&self) -> usize {
        self.names.iter().map(|(_, names)| names.count()).sum()
    }

    /// The digests that they are, in order.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> {
        let of = |(algorithm, names): &(Algorithm, Names)| {
            names.iter().filter_map(|name| Digest::from_parts(*algorithm, name).ok()).collect::<Vec<_>>()
        };
        self.names.iter().flat_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_come_late_is_looked_for_ever_more_rarely_and_not_for_ever() {
        let listed = Instant::now();
        let after = |seconds| listed + Duration::from_secs(seconds);
        let may_be_late = |looked: u64, now: u64| {
            ManifestNames { listed, looked: after(looked), ..ManifestNames::none() }.may_be_late(after(now))
        };
        assert!(may_be_late(0, 0) && may_be_late(15, 30) && may_be_late(59, 119));
        assert!(!may_be_late(15, 29), "a moment ago");
        assert!(!may_be_late(60, 500), "it was looked for a minute after its name came");
    }
}
