//! The model: what a registry answers, by the distribution specification and our documents, with maps in memory.
//!
//! It knows no file, no server and no time, and uses none of the code under test. Where the specification leaves a
//! choice, `docs/` and the notes on clients decide; where those leave one too, each answer is right.

mod blobs;
mod listings;
mod manifest;
mod manifests;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    alphabet::{BAD_DIGESTS, BAD_REPOSITORIES, BAD_TAGS},
    call::{Call, Start},
    expected::{Answer, Expected},
};
use manifest::Manifest;

/// A registry, reduced to what can be asked of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Specification {
    /// A repository comes into being with its first blob or manifest, and stays.
    repositories: BTreeMap<String, Repository>,
    /// Bytes that some repository has or had: there is no garbage collection.
    stored: BTreeMap<String, Vec<u8>>,
    /// The bytes of the uploads under way, by repository and identifier.
    uploads: BTreeMap<(String, String), Vec<u8>>,
    /// Identifiers of all uploads ever, in the order they were started.
    started: Vec<(String, String)>,
    /// The repository of an upload whose identifier is in the answer that is to come.
    starting: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Repository {
    blobs: BTreeSet<String>,
    manifests: BTreeMap<String, Manifest>,
    tags: BTreeMap<String, String>,
}

impl Specification {
    /// Does what a request asks, and says what its answer must be.
    pub(crate) fn expect(&mut self, call: &Call) -> Expected {
        match call {
            Call::StartUpload { repository, start } => match start {
                Start::Plain => self.start_upload(repository, None),
                Start::Algorithm(name) => self.start_upload(repository, Some(name)),
                Start::Mount { digest, from } => self.mount(repository, digest, from.as_deref()),
                Start::Monolithic { digest, body } => self.upload_whole(repository, digest, body),
            },
            Call::UploadStatus { repository, upload } => self.upload_status(repository, upload),
            Call::Patch { repository, upload, range, body } => {
                self.patch(repository, upload, range.as_deref(), body)
            }
            Call::PutUpload { repository, upload, digest, range, body } => {
                self.put_upload(repository, upload, digest.as_deref(), range.as_deref(), body)
            }
            Call::CancelUpload { repository, upload } => self.cancel_upload(repository, upload),
            Call::ReadBlob { repository, digest, head, range, etag } => {
                self.read_blob(repository, digest, *head, range.as_deref(), etag.as_deref())
            }
            Call::DeleteBlob { repository, digest } => self.delete_blob(repository, digest),
            Call::PutManifest { repository, reference, tags, media_type, body } => {
                self.put_manifest(repository, reference, tags, media_type.as_deref(), body)
            }
            Call::ReadManifest { repository, reference, head, etag } => {
                self.read_manifest(repository, reference, *head, etag.as_deref())
            }
            Call::DeleteManifest { repository, reference } => self.delete_manifest(repository, reference),
            Call::ListTags { repository, n, last } => {
                self.list_tags(repository, n.as_deref(), last.as_deref())
            }
            Call::Catalogue { n, last } => self.catalogue(n.as_deref(), last.as_deref()),
            Call::Referrers { repository, digest, artifact_type } => {
                self.referrers(repository, digest, artifact_type.as_deref())
            }
            Call::Other { method, path } => other(method, path),
        }
    }

    /// Takes the name that the server gave to an upload it has just started.
    pub(crate) fn name_upload(&mut self, identifier: Option<&str>) {
        if let Some(repository) = self.starting.take() {
            let name = (repository, identifier.unwrap_or_default().to_owned());
            self.uploads.insert(name.clone(), Vec::new());
            self.started.push(name);
        }
    }

    /// Every upload that was ever started, the oldest first: repository and identifier.
    pub(crate) fn started_uploads(&self) -> &[(String, String)] {
        &self.started
    }

    /// The bytes of an upload under way.
    pub(crate) fn upload(&self, repository: &str, upload: &str) -> Option<&[u8]> {
        self.uploads.get(&(repository.to_owned(), upload.to_owned())).map(Vec::as_slice)
    }

    /// The digests of all that was ever stored.
    pub(crate) fn digests(&self) -> impl Iterator<Item = &String> {
        self.stored.keys()
    }

    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    fn has_blob(&self, repository: &str, digest: &str) -> bool {
        self.repositories.get(repository).is_some_and(|repository| repository.blobs.contains(digest))
    }
}

/// What is out of grammar in a request; any of these may be what is answered.
fn grammar(repository: &str, digest: Option<&str>) -> Vec<Answer> {
    let mut problems = Vec::new();
    if BAD_REPOSITORIES.contains(&repository) {
        problems.push(Answer::error(400, "NAME_INVALID"));
    }
    if digest.is_some_and(|digest| BAD_DIGESTS.contains(&digest)) {
        problems.push(Answer::error(400, "DIGEST_INVALID"));
    }
    problems
}

fn is_tag(text: &str) -> bool {
    !BAD_TAGS.iter().any(|bad| bad == text)
}

/// A digest is told from a tag by its colon.
fn is_digest(reference: &str) -> bool {
    reference.contains(':')
}

/// Paths and methods that are not of the API, and the ping.
fn other(method: &str, path: &str) -> Expected {
    match (method, path) {
        ("GET", "/v2/" | "/v2") => Answer::status(200).json(serde_json::json!({})).into(),
        ("OPTIONS", _) => Answer::status(204).into(),
        (_, "/v2/_catalog" | "/v2/a/tags/list" | "/v2/a/blobs/uploads/" | "/v2/") => {
            Answer::error(405, "UNSUPPORTED").into()
        }
        _ => Answer::error(404, "UNSUPPORTED").into(),
    }
}
