//! Referrers as tags, for a registry that has no referrers API.
//!
//! Its clients look for a tag `<algorithm>-<hex>` that names an index of the referrers (distribution specification,
//! Referrers Tag Schema). Written before a volume goes back to registry:2, they find what was attached meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

use super::{
    super::{
        Config, Registry, RegistryError,
        blocking::Work,
        integrity::Integrity,
        manifests::{BoundedCache, find_manifest},
        put_manifest::PutManifest,
    },
    Referrer, candidates, fallback_tag,
};
use crate::{
    oci::{Digest, Reference, RepositoryName, Tag, media_type},
    storage::{Storage, StorageError},
};

/// How long a repository may take: nobody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What became of the tag of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportOutcome {
    /// It was written, or would be.
    Written,
    /// It lists all of them already.
    Unchanged,
    /// The tag names something that is no index, and was left alone.
    InTheWay,
    /// The index would be larger than a manifest may be.
    TooLarge,
}

/// The tag of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedTag {
    /// The tag.
    pub tag: Tag,
    /// How many referrers it lists.
    pub referrers: usize,
    /// What was done.
    pub outcome: ExportOutcome,
}

impl Registry {
    /// Writes, for every subject of a repository that has referrers, the tag that lists them; `dry_run` only says
    /// what it would do. Doing it twice changes nothing.
    ///
    /// Takes as long as it takes to read every manifest of the repository that was not read before.
    pub async fn export_referrers(
        &self,
        repository: &RepositoryName,
        dry_run: bool,
    ) -> Result<Vec<ExportedTag>, RegistryError> {
        let mut by_subject = BTreeMap::<Digest, Vec<Digest>>::new();
        let pairs = self.subjects(repository, PATIENCE, |subjects| {
            let naming =
                subjects.iter().filter_map(|(digest, subject)| Some((subject.clone()?, digest.clone())));
            naming.collect::<Vec<_>>()
        });
        for (subject, referrer) in pairs.await? {
            by_subject.entry(subject).or_default().push(referrer);
        }
        let mut exported = Vec::new();
        for (subject, known) in by_subject {
            let export = Export {
                config: self.inner.config.clone(),
                integrity: self.inner.integrity.clone(),
                repository: repository.clone(),
                cache: self.inner.manifests.clone(),
                dry_run,
            };
            let storage = self.inner.storage.clone();
            let run = move || export.run(&storage, &subject, known);
            exported.extend(self.inner.blocking.run(Work::Write, run).await??);
        }
        Ok(exported)
    }
}

struct Export {
    config: Config,
    integrity: Integrity,
    repository: RepositoryName,
    cache: std::sync::Arc<BoundedCache>,
    dry_run: bool,
}

impl Export {
    fn run(
        &self,
        storage: &Storage,
        subject: &Digest,
        known: Vec<Digest>,
    ) -> Result<Option<ExportedTag>, RegistryError> {
        let Some(tag) = fallback_tag(subject) else { return Ok(None) };
        let referrers = self.referrers(storage, subject, known)?;
        if referrers.is_empty() {
            return Ok(None);
        }
        let outcome = self.publish(storage, &tag, &referrers)?;
        Ok(Some(ExportedTag { tag, referrers: referrers.len(), outcome }))
    }

    /// The referrers that are in the repository, in the order of their digests.
    fn referrers(
        &self,
        storage: &Storage,
        subject: &Digest,
        known: Vec<Digest>,
    ) -> Result<Vec<Referrer>, StorageError> {
        let mut referrers = Vec::new();
        for digest in candidates(storage, &self.cache, &self.repository, subject, known)? {
            let reference = Reference::Digest(digest);
            if let Some((digest, cached)) = find_manifest(storage, &self.cache, &self.repository, &reference)?
            {
                referrers.push(Referrer::new(digest, &cached));
            }
        }
        Ok(referrers)
    }

    fn publish(
        &self,
        storage: &Storage,
        tag: &Tag,
        referrers: &[Referrer],
    ) -> Result<ExportOutcome, RegistryError> {
        let reference = Reference::Tag(tag.clone());
        if let Some((_, present)) = find_manifest(storage, &self.cache, &self.repository, &reference)? {
            if !present.manifest.kind.is_index() {
                return Ok(ExportOutcome::InTheWay);
            }
            let listed: BTreeSet<_> = present.manifest.manifests.iter().map(|entry| &entry.digest).collect();
            if listed == referrers.iter().map(|referrer| &referrer.digest).collect() {
                return Ok(ExportOutcome::Unchanged);
            }
        }
        let Some(bytes) = index_of(referrers, self.config.manifest_size_limit)? else {
            return Ok(ExportOutcome::TooLarge);
        };
        if !self.dry_run {
            let put = PutManifest {
                config: self.config.clone(),
                integrity: self.integrity.clone(),
                repository: self.repository.clone(),
                reference,
                tags: Vec::new(),
                content_type: Some(media_type::OCI_INDEX.to_owned()),
                bytes: bytes.into(),
            };
            if let Some(error) = put.run(storage)?.failure {
                return Err(error.into());
            }
        }
        Ok(ExportOutcome::Written)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    media_type: &'static str,
    digest: &'a str,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
}

/// The index of at most `limit` bytes; without annotations where they do not fit, `None` where even that is too
/// long.
fn index_of(referrers: &[Referrer], limit: usize) -> Result<Option<Vec<u8>>, RegistryError> {
    for annotated in [true, false] {
        let entries = referrers.iter().map(|referrer| Entry {
            media_type: referrer.media_type,
            digest: referrer.digest.as_str(),
            size: referrer.size,
            artifact_type: referrer.artifact_type.as_deref(),
            annotations: Some(&referrer.annotations).filter(|map| annotated && !map.is_empty()),
        });
        let index =
            Index { schema_version: 2, media_type: media_type::OCI_INDEX, manifests: entries.collect() };
        let bytes = serde_json::to_vec(&index).map_err(|_| RegistryError::Internal)?;
        if bytes.len() <= limit {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}
