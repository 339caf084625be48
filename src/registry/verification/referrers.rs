//! The records of a repository of which manifests refer to which.

use super::{
    Check,
    finding::{FindingKind as Kind, Repair, Suspicion},
    repository::Repository,
};
use crate::storage::{LinkContent, Place, StorageError};

impl Check<'_> {
    pub(super) fn look_at_referrers(&mut self, repository: &mut Repository) -> Result<(), StorageError> {
        let name = repository.name.clone();
        for subject in self.storage.list_subjects(&name)? {
            for referrer in self.storage.list_referrers(&name, &subject)? {
                self.report.checked.referrers += 1;
                let place = Place::Referrer(name.clone(), subject.clone(), referrer.clone());
                let content = self.link(&place)?;
                let path = self.storage.link_path(&place);
                let is_real = repository
                    .manifests
                    .get(&referrer)
                    .is_some_and(|contents| contents.subject.as_ref() == Some(&subject));
                if content == LinkContent::Absent {
                    continue;
                }
                if !is_real {
                    // One that is damaged, or has no link, is reported as that, and comes back with a push.
                    if repository.manifests.contains_key(&referrer)
                        || !self.storage.has_manifest(&name, &referrer)?
                    {
                        let (subject, referrer) = (subject.clone(), referrer.clone());
                        repository.suspect(
                            Suspicion::new(
                                Kind::ReferrerDangling,
                                path,
                                format!("{referrer}, recorded as referring to {subject}, is not there or does not; it is not listed"),
                            )
                            .of(&referrer)
                            .advise("run pakhuis verify --repair to forget it, or push it again")
                            .mend(Some(Repair::UnlinkReferrer { subject, referrer })),
                        );
                    }
                } else if content != LinkContent::Names(referrer.clone()) {
                    repository.suspect(
                        Suspicion::new(
                            Kind::ReferrerLinkDamaged,
                            path,
                            "the link does not name the manifest it stands for",
                        )
                        .of(&referrer)
                        .advise("run pakhuis verify --repair")
                        .mend(Some(Repair::RewriteLink(place))),
                    );
                }
            }
        }
        Ok(())
    }
}
