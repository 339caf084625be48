//! The manifests of a repository, and all that they need.

use std::collections::BTreeMap;

use super::{
    Check,
    finding::{FindingKind as Kind, Repair, Suspicion, push_again},
    repository::Repository,
};
use crate::{
    oci::{Digest, Manifest},
    registry::{integrity::Verdict, manifests::READ_LIMIT},
    storage::{LinkContent, Place, StorageError},
};

/// What a manifest refers to.
pub(super) struct Contents {
    /// Configuration and layers, with their sizes as it gives them.
    blobs: BTreeMap<Digest, u64>,
    /// The children of an index.
    children: BTreeMap<Digest, u64>,
    pub(super) subject: Option<Digest>,
}

impl Contents {
    fn of(manifest: &Manifest) -> Self {
        let sizes = |descriptor: &crate::oci::Descriptor| (descriptor.digest.clone(), descriptor.size);
        Self {
            blobs: manifest.required_blobs().map(sizes).collect(),
            children: manifest.manifests.iter().map(sizes).collect(),
            subject: manifest.subject.as_ref().map(|subject| subject.digest.clone()),
        }
    }

    /// Whether it cannot be used without some content.
    pub(super) fn needs(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest) || self.children.contains_key(digest)
    }
}

impl Check<'_> {
    /// Links and content of the manifests. Who needs which is known only when all are read.
    pub(super) fn look_at_manifests(&mut self, repository: &mut Repository) -> Result<(), StorageError> {
        let name = repository.name.clone();
        for digest in self.storage.list_manifests(&name)? {
            let place = Place::Revision(name.clone(), digest.clone());
            let link = self.link(&place)?;
            if link == LinkContent::Absent {
                continue;
            }
            self.report.checked.manifests += 1;
            let manifest = self.read_manifest(repository, &digest)?;
            let is_good = manifest.is_some();
            if let Some(contents) = manifest {
                repository.manifests.insert(digest.clone(), contents);
            }
            if link != LinkContent::Names(digest.clone()) {
                let detail = "the link does not name the manifest it stands for; the manifest answers 404, and the garbage collection of registry:2 stops at it";
                repository.suspect(
                    Suspicion::new(Kind::RevisionLinkDamaged, self.storage.link_path(&place), detail)
                        .of(&digest)
                        .advise(format!("run pakhuis verify --repair, or push {name}@{digest} again"))
                        .mend(is_good.then_some(Repair::RewriteLink(place))),
                );
            }
        }
        Ok(())
    }

    fn read_manifest(
        &mut self,
        repository: &mut Repository,
        digest: &Digest,
    ) -> Result<Option<Contents>, StorageError> {
        let path = self.storage.content_path(digest);
        let suspicion = |kind, detail: &str| Suspicion::new(kind, path, detail).of(digest);
        let bytes = match self.storage.read_content(digest, READ_LIMIT) {
            Err(StorageError::Damaged(_)) => {
                if self.judge_content(digest)? == Some(Verdict::Damaged) {
                    let detail = "the manifest is not what its digest says; it answers 404";
                    repository.suspect(suspicion(Kind::ManifestDamaged, detail));
                    return Ok(None);
                }
                self.storage.read_content(digest, READ_LIMIT)?
            }
            result => result?,
        };
        let Some(bytes) = bytes else {
            let aside = self.set_aside.get(digest);
            let aside =
                aside.map_or_else(String::new, |path| format!("; it was damaged and is set aside as {path}"));
            let detail = format!("the manifest is not stored, and answers 404{aside}");
            repository.suspect(suspicion(Kind::ManifestMissing, &detail));
            return Ok(None);
        };
        self.pace.read(bytes.len())?;
        match Manifest::parse(&bytes, None) {
            Ok(manifest) => Ok(Some(Contents::of(&manifest))),
            Err(error) => {
                let detail = format!("the content is no manifest that is served: {error}");
                repository.suspect(suspicion(Kind::ManifestInvalid, &detail));
                Ok(None)
            }
        }
    }

    /// Everything the manifests need: configuration, layers, children, and the record of their subject.
    pub(super) fn look_at_needs(&mut self, repository: &mut Repository) -> Result<(), StorageError> {
        let mut suspicions = Vec::new();
        let mut looked_at = std::collections::HashSet::new();
        for (digest, contents) in &repository.manifests {
            for (blob, size) in &contents.blobs {
                if looked_at.insert((blob.clone(), *size)) {
                    suspicions.extend(self.look_at_need(repository, digest, blob, *size)?);
                }
            }
            for (child, size) in &contents.children {
                if repository.manifests.contains_key(child) || !looked_at.insert((child.clone(), *size)) {
                    continue;
                }
                if repository.layers.contains(child) {
                    suspicions.extend(self.look_at_need(repository, digest, child, *size)?);
                } else if !self.options.sparse_manifests
                    && !self.storage.has_manifest(&repository.name, child)?
                {
                    suspicions.push(
                        Suspicion::new(
                            Kind::ChildMissing,
                            self.storage.link_path(&Place::Revision(repository.name.clone(), child.clone())),
                            format!("the index {digest} lists it, and the repository does not have it; its platform cannot be pulled"),
                        )
                        .of(child)
                        .advise(push_again(&repository.users(child))),
                    );
                }
            }
            if let Some(subject) = &contents.subject {
                suspicions.extend(self.look_at_subject(repository, subject, digest)?);
            }
        }
        suspicions.into_iter().for_each(|suspicion| repository.suspect(suspicion));
        Ok(())
    }

    fn look_at_need(
        &mut self,
        repository: &Repository,
        manifest: &Digest,
        blob: &Digest,
        size: u64,
    ) -> Result<Option<Suspicion>, StorageError> {
        self.pace.look_up()?;
        let place = Place::Layer(repository.name.clone(), blob.clone());
        let again = || push_again(&repository.users(blob));
        if !repository.layers.contains(blob) {
            // A damaged link is reported by itself.
            let is_absent = self.storage.inspect_link(&place, &mut Vec::new())? == LinkContent::Absent;
            let detail =
                format!("the manifest {manifest} needs the blob, which is not in the repository; pulls fail");
            let suspicion = Suspicion::new(Kind::LayerLinkMissing, self.storage.link_path(&place), detail);
            return Ok(
                (is_absent && !self.options.sparse_manifests).then(|| suspicion.of(blob).advise(again()))
            );
        }
        let Some(found) = self.storage.find_blob(&repository.name, blob)? else {
            let aside = self.set_aside.get(blob);
            let aside =
                aside.map_or_else(String::new, |path| format!("; it was damaged and is set aside as {path}"));
            let detail =
                format!("the manifest {manifest} needs the blob, which is not stored; pulls fail{aside}");
            return Ok(Some(
                Suspicion::new(Kind::BlobMissing, self.storage.content_path(blob), detail)
                    .of(blob)
                    .advise(again()),
            ));
        };
        if found.identity.size == size || self.damaged.contains_key(&found.stored_as) {
            return Ok(None);
        }
        // A damaged blob is reported by itself.
        if self.judge_content(&found.stored_as)? != Some(Verdict::Right) {
            return Ok(None);
        }
        let detail = format!(
            "the manifest {manifest} gives {size} bytes for the blob {blob}, which has {} and is right; some clients refuse it",
            found.identity.size
        );
        Ok(Some(
            Suspicion::new(Kind::ManifestSizeWrong, self.storage.content_path(manifest), detail)
                .of(manifest)
                .advise("build the image again: its manifest was pushed like this"),
        ))
    }

    fn look_at_subject(
        &mut self,
        repository: &Repository,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<Option<Suspicion>, StorageError> {
        let name = &repository.name;
        let place = Place::Referrer(name.clone(), subject.clone(), referrer.clone());
        if self.link(&place)? != LinkContent::Absent {
            return Ok(None);
        }
        // The push of it may be under way.
        let age = self.storage.link_age(&Place::Revision(name.clone(), referrer.clone()))?;
        if age.is_none_or(|age| age < self.options.grace) {
            return Ok(None);
        }
        let detail =
            format!("{referrer} refers to {subject}, and is not recorded; it is not listed as its referrer");
        let (subject, referrer) = (subject.clone(), referrer.clone());
        Ok(Some(
            Suspicion::new(Kind::ReferrerMissing, self.storage.link_path(&place), detail)
                .of(&referrer)
                .advise("run pakhuis verify --repair")
                .mend(Some(Repair::LinkReferrer { subject, referrer })),
        ))
    }
}
