//! A repository: its directories, links of layers and uploads. The rest of it is in `manifests`, `tags` and
//! `referrers`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    Check,
    finding::{FindingKind as Kind, Repair, Suspicion, push_again},
    manifests::Contents,
    pace::Phase,
};
use crate::{
    oci::{Algorithm, Digest, RepositoryName, Tag},
    registry::integrity::Verdict,
    storage::{LinkContent, Place, StorageError},
};

/// Repositories listed at once.
const PAGE: usize = 1000;

/// What there is in a repository.
pub(super) struct Repository {
    pub(super) name: RepositoryName,
    /// Manifests with what they need; those whose link is damaged too, since their content can be judged.
    pub(super) manifests: BTreeMap<Digest, Contents>,
    /// Blobs whose link is right.
    pub(super) layers: HashSet<Digest>,
    /// What each tag names.
    pub(super) tags: BTreeMap<Tag, Digest>,
    /// What is wrong, in no order.
    pub(super) suspicions: Vec<Suspicion>,
}

impl Repository {
    pub(super) fn suspect(&mut self, mut suspicion: Suspicion) {
        suspicion.finding.repository = Some(self.name.clone());
        self.suspicions.push(suspicion);
    }

    /// Says which images to push again for manifests that cannot be read.
    fn advise_on_manifests(&mut self) {
        let mut suspicions = std::mem::take(&mut self.suspicions);
        for suspicion in &mut suspicions {
            let Suspicion { finding, .. } = suspicion;
            if let Some(digest) = &finding.digest
                && matches!(
                    finding.kind,
                    Kind::ManifestDamaged | Kind::ManifestMissing | Kind::ManifestInvalid
                )
            {
                let mut images = self.users(digest);
                if images.is_empty() {
                    images.insert(format!("{}@{digest}", self.name));
                }
                finding.advice = push_again(&images);
            }
        }
        self.suspicions = suspicions;
    }

    /// The images that need some content: by their tags, or, of manifests without, by digest.
    pub(super) fn users(&self, content: &Digest) -> BTreeSet<String> {
        let mut needed = BTreeSet::from([content.clone()]);
        let mut reached = vec![content.clone()];
        let mut tops = BTreeSet::new();
        while let Some(digest) = reached.pop() {
            let parents: Vec<&Digest> = self
                .manifests
                .iter()
                .filter(|(_, contents)| contents.needs(&digest))
                .map(|(parent, _)| parent)
                .collect();
            let is_tagged = self.tags.values().any(|named| *named == digest);
            if is_tagged || (parents.is_empty() && self.manifests.contains_key(&digest)) {
                tops.insert(digest);
            }
            for parent in parents {
                if needed.insert(parent.clone()) {
                    reached.push(parent.clone());
                }
            }
        }
        let mut images = BTreeSet::new();
        for top in tops {
            let tags = self.tags.iter().filter(|(_, named)| **named == top);
            let named: Vec<String> = tags.map(|(tag, _)| format!("{}:{}", self.name, tag.as_str())).collect();
            if named.is_empty() {
                images.insert(format!("{}@{top}", self.name));
            }
            images.extend(named);
        }
        images
    }
}

impl Check<'_> {
    pub(super) fn look_at_repositories(&mut self) -> Result<(), StorageError> {
        let mut names: Vec<RepositoryName> = Vec::new();
        loop {
            let last = names.last().map(|name| name.as_str().to_owned());
            let page = self.storage.list_repositories(last.as_deref(), PAGE)?;
            let is_last = page.len() < PAGE;
            names.extend(page);
            self.pace.look_up()?;
            if is_last {
                break;
            }
        }
        self.pace.begin(Phase::Repositories, names.len() as u64);
        for name in names {
            let counted = self.report.checked;
            let mut looks = 0;
            self.confirmed(name.as_str(), &mut |check| {
                if looks > 0 {
                    // A second look counts nothing twice.
                    check.report.checked = counted;
                }
                looks += 1;
                check.look_at_repository(&name)
            })?;
            self.report.checked.repositories += 1;
            self.pace.progress.done += 1;
        }
        Ok(())
    }

    fn look_at_repository(&mut self, name: &RepositoryName) -> Result<Vec<Suspicion>, StorageError> {
        let mut repository = Repository {
            name: name.clone(),
            manifests: BTreeMap::new(),
            layers: HashSet::new(),
            tags: BTreeMap::new(),
            suspicions: Vec::new(),
        };
        for path in self.storage.missing_directories(name)? {
            let detail = "the directory is missing: registry:2 does not list the repository, and its garbage collection deletes its data";
            repository.suspect(
                Suspicion::new(Kind::RepositoryIncomplete, path, detail)
                    .advise("run pakhuis verify --repair")
                    .mend(Some(Repair::CompleteRepository)),
            );
        }
        self.look_at_tags(&mut repository)?;
        self.look_at_manifests(&mut repository)?;
        repository.advise_on_manifests();
        self.look_at_layer_links(&mut repository)?;
        self.look_at_needs(&mut repository)?;
        self.look_at_referrers(&mut repository)?;
        for upload in self.storage.abandoned_uploads(name, self.options.abandoned_after)? {
            let days = upload.age.as_secs() / 86_400;
            let detail = format!("an upload that was not written for {days} days; it only takes space");
            repository.suspect(
                Suspicion::new(Kind::UploadAbandoned, upload.path, detail)
                    .advise("remove the directory; a client that comes back to it starts again"),
            );
        }
        let damaged: Vec<Digest> = self.damaged.keys().cloned().collect();
        for digest in damaged {
            let users = repository.users(&digest);
            self.users.entry(digest).or_default().extend(users);
        }
        Ok(repository.suspicions)
    }

    /// Reads a link, with the temporaries beside it.
    pub(super) fn link(&mut self, place: &Place) -> Result<LinkContent, StorageError> {
        self.pace.look_up()?;
        let mut leftovers = Vec::new();
        let content = self.storage.inspect_link(place, &mut leftovers)?;
        self.report_temporaries(leftovers);
        Ok(content)
    }

    fn look_at_layer_links(&mut self, repository: &mut Repository) -> Result<(), StorageError> {
        let mut dangling: Vec<(Digest, String)> = Vec::new();
        for digest in self.storage.list_layers(&repository.name)? {
            self.report.checked.layer_links += 1;
            let place = Place::Layer(repository.name.clone(), digest.clone());
            let target = match self.link(&place)? {
                // What a delete leaves.
                LinkContent::Absent => continue,
                LinkContent::Names(target) if target == digest => Some(target),
                LinkContent::Names(target) => self.alias(&digest, target)?,
                LinkContent::Damaged(_) => None,
            };
            let Some(target) = target else {
                let users = repository.users(&digest);
                let content = self.judge_content(&digest)? == Some(Verdict::Right);
                repository.suspect(
                    Suspicion::new(
                        Kind::LayerLinkDamaged,
                        self.storage.link_path(&place),
                        "the link does not name the blob it stands for; the blob answers 404 in this repository",
                    )
                    .of(&digest)
                    .advise(push_again(&users))
                    .mend(content.then_some(Repair::RewriteLink(place))),
                );
                continue;
            };
            if self.storage.find_stored(&target)?.is_none() {
                dangling.push((digest.clone(), self.storage.link_path(&place)));
            }
            repository.layers.insert(digest);
        }
        // Those that a manifest needs are reported with it.
        dangling.retain(|(digest, _)| !repository.manifests.values().any(|manifest| manifest.needs(digest)));
        if let [(_, path), ..] = &dangling[..] {
            let detail = format!(
                "{} links lead to blobs that are not there, which no image of the repository needs; they answer 404",
                dangling.len()
            );
            repository.suspect(
                Suspicion::new(Kind::LayerLinkDangling, path.clone(), detail)
                    .advise("nothing to do: a push of such a blob stores it again"),
            );
        }
        Ok(())
    }

    /// The target of an sha512 alias of registry:2, if the link can be one. With `read_data` its content is read.
    fn alias(&mut self, digest: &Digest, target: Digest) -> Result<Option<Digest>, StorageError> {
        if digest.algorithm() != Algorithm::Sha512 || target.algorithm() != Algorithm::Sha256 {
            return Ok(None);
        }
        if !self.options.read_data {
            return Ok(Some(target));
        }
        let pace = &mut self.pace;
        match self.storage.check_alias(digest, &target, &mut |count| pace.read(count)) {
            Ok(true) | Err(StorageError::NotFound) => Ok(Some(target)),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
