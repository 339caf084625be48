//! Repairs: only what is safe while servers work on the volume, each confirmed before.

use super::{
    Check, Repairs,
    finding::{Finding, Repair, Suspicion},
};
use crate::storage::{Storage, StorageError};

impl Check<'_> {
    /// Mends what may be mended; the finding says whether it was. A repair that fails is an error of the check.
    pub(super) fn mend(&mut self, suspicion: Suspicion) -> Result<Finding, StorageError> {
        let Suspicion { mut finding, repair } = suspicion;
        let Some(repair) = repair else { return Ok(finding) };
        let may = match self.options.repairs {
            Repairs::None => false,
            Repairs::SetAside => matches!(repair, Repair::SetAside(..)),
            Repairs::All => true,
        };
        if !may {
            return Ok(finding);
        }
        match self.apply(&finding, &repair) {
            Ok(done) => {
                finding.repaired = done;
                if done && !matches!(repair, Repair::SetAside(..)) {
                    finding.advice = "nothing more to do".to_owned();
                } else if done {
                    finding.advice = finding.advice.replace("set it aside with --repair, then ", "");
                }
            }
            Err(error) => self.tolerate(&format!("repair of {}", finding.path), error)?,
        }
        Ok(finding)
    }

    fn apply(&self, finding: &Finding, repair: &Repair) -> Result<bool, StorageError> {
        let storage: &Storage = self.storage;
        let repository = finding.repository.as_ref().ok_or(StorageError::NotFound);
        match repair {
            Repair::RewriteLink(place) => storage.rewrite_link(place).map(|()| true),
            Repair::SetAside(digest, identity) => {
                self.registry.inner.integrity.set_aside(storage, digest, identity)?;
                // Either it is gone, or a push has replaced it meanwhile.
                Ok(storage.find_stored(digest)?.as_ref() != Some(identity))
            }
            Repair::LinkReferrer { subject, referrer } => {
                storage.link_referrer(repository?, subject, referrer).map(|()| true)
            }
            Repair::UnlinkReferrer { subject, referrer } => {
                let repository = repository?;
                storage.unlink_referrer(repository, subject, referrer)?;
                // A push of the same manifest may have come between, and found the link still there.
                if storage.has_manifest(repository, referrer)? {
                    storage.link_referrer(repository, subject, referrer)?;
                }
                Ok(true)
            }
            Repair::CompleteRepository => storage.complete_repository(repository?).map(|()| true),
            Repair::RemoveGhostTag(tag) => storage.remove_ghost_tag(repository?, tag).map(|()| true),
            Repair::Restore(aside) => storage.restore_set_aside(aside),
        }
    }
}
