//! Manifests and tags (distribution specification, Pulling, Pushing and Deleting Manifests).

use std::collections::BTreeSet;

use super::{Manifest, Specification, grammar, is_digest, is_tag};
use crate::{
    alphabet::{MANIFEST_LIMIT, TAG_PARAMETERS, sha256, sha512},
    expected::{Answer, Expected},
};

impl Specification {
    pub(super) fn put_manifest(
        &mut self,
        repository: &str,
        reference: &str,
        tags: &[String],
        media_type: Option<&str>,
        body: &[u8],
    ) -> Expected {
        let mut problems = reference_problems(repository, reference);
        let tags = distinct(tags);
        if tags.iter().any(|tag| !is_tag(tag)) {
            problems.push(Answer::error(400, "TAG_INVALID"));
        }
        if tags.len() > TAG_PARAMETERS {
            problems.push(Answer::error(414, "TAG_INVALID"));
        }
        let digest = if reference.starts_with("sha512:") { sha512(body) } else { sha256(body) };
        if is_digest(reference) && digest != reference {
            problems.push(Answer::error(400, "DIGEST_INVALID"));
        }
        if body.len() > MANIFEST_LIMIT {
            problems.push(Answer::error(413, "SIZE_INVALID"));
        }
        let manifest = Manifest::read(body, media_type);
        match &manifest {
            None => problems.push(Answer::error(400, "MANIFEST_INVALID")),
            Some(manifest) => {
                let missing = self.missing(repository, manifest);
                if !missing.is_empty() {
                    problems.push(Answer::error_about(400, "MANIFEST_BLOB_UNKNOWN", missing));
                }
            }
        }
        match manifest {
            Some(manifest) if problems.is_empty() => {
                let subject = manifest.subject().map(str::to_owned);
                self.store(repository, reference, &tags, &digest, manifest);
                Answer::status(201)
                    .header("location", format!("/v2/{repository}/manifests/{digest}"))
                    .header("docker-content-digest", digest)
                    .optional_header("oci-subject", subject)
                    .header_all("oci-tag", tags)
                    .header("content-length", "0")
                    .into()
            }
            _ => Expected::any(problems),
        }
    }

    fn store(
        &mut self,
        repository: &str,
        reference: &str,
        tags: &[String],
        digest: &str,
        manifest: Manifest,
    ) {
        self.stored.insert(digest.to_owned(), manifest.bytes.clone());
        let repository = self.repository(repository);
        repository.manifests.insert(digest.to_owned(), manifest);
        let own = (!is_digest(reference)).then(|| reference.to_owned());
        for tag in own.iter().chain(tags) {
            repository.tags.insert(tag.clone(), digest.to_owned());
        }
    }

    /// Blobs must be there; what an index lists may be a manifest or, as in BuildKit's cache, a blob.
    fn missing(&self, repository: &str, manifest: &Manifest) -> BTreeSet<String> {
        let has_manifest = |digest: &str| {
            self.repositories.get(repository).is_some_and(|found| found.manifests.contains_key(digest))
        };
        let blobs = manifest.blobs().into_iter().filter(|digest| !self.has_blob(repository, digest));
        let children = manifest
            .children()
            .into_iter()
            .filter(|digest| !has_manifest(digest) && !self.has_blob(repository, digest));
        blobs.chain(children).map(str::to_owned).collect()
    }

    pub(super) fn read_manifest(
        &self,
        repository: &str,
        reference: &str,
        head: bool,
        etag: Option<&str>,
    ) -> Expected {
        let expected = self.manifest(repository, reference, etag);
        if head { expected.without_body() } else { expected }
    }

    fn manifest(&self, repository: &str, reference: &str, etag: Option<&str>) -> Expected {
        let problems = reference_problems(repository, reference);
        if !problems.is_empty() {
            return Expected::any(problems);
        }
        let Some((digest, manifest)) = self.find_manifest(repository, reference) else {
            return Answer::error(404, "MANIFEST_UNKNOWN").into();
        };
        let describe = |status| {
            let answer = Answer::status(status).header("docker-content-digest", digest);
            answer.header("content-type", manifest.media_type).header("etag", format!("\"{digest}\""))
        };
        if etag == Some(format!("\"{digest}\"").as_str()) {
            return describe(304).into();
        }
        describe(200).bytes(manifest.bytes.clone()).into()
    }

    pub(super) fn find_manifest<'a>(
        &'a self,
        repository: &str,
        reference: &'a str,
    ) -> Option<(&'a str, &'a Manifest)> {
        let repository = self.repositories.get(repository)?;
        let digest = if is_digest(reference) { reference } else { repository.tags.get(reference)? };
        Some((digest, repository.manifests.get(digest)?))
    }

    /// By tag, the tag alone; by digest, the manifest and all its tags.
    pub(super) fn delete_manifest(&mut self, repository: &str, reference: &str) -> Expected {
        let problems = reference_problems(repository, reference);
        if !problems.is_empty() {
            return Expected::any(problems);
        }
        let found = self.repositories.get_mut(repository);
        let deleted = found.is_some_and(|repository| {
            if is_digest(reference) {
                repository.tags.retain(|_, digest| digest != reference);
                repository.manifests.remove(reference).is_some()
            } else {
                repository.tags.remove(reference).is_some()
            }
        });
        if deleted {
            Answer::status(202).header("content-length", "0").into()
        } else {
            Answer::error(404, "MANIFEST_UNKNOWN").into()
        }
    }
}

fn reference_problems(repository: &str, reference: &str) -> Vec<Answer> {
    let mut problems = grammar(repository, Some(reference));
    if !is_digest(reference) && !is_tag(reference) {
        problems.push(Answer::error(400, "TAG_INVALID"));
    }
    problems
}

/// Each once, in order.
fn distinct(tags: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    tags.iter().filter(|tag| seen.insert(*tag)).cloned().collect()
}
