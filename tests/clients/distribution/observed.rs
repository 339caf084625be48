//! What a server answers, to be compared with what another one answers about the same volume.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use reqwest::Method;
use serde_json::Value;

use super::fill::Known;
use crate::support::{Api, TestServer, sha256};

/// What a server answers: to every question about what it lists, and about what is known to have been there.
pub(super) struct Observed(BTreeMap<String, Seen>);

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Names(BTreeSet<String>),
    Content { media_type: String, digest: String, body_digest: String, length: usize },
    Absent,
}

impl Observed {
    pub(super) async fn by(server: &TestServer, known: &[Known]) -> Self {
        let api = Api::new(server);
        let mut observed = Self(BTreeMap::new());
        for repository in observed.list(&api, "/v2/_catalog".to_owned(), "repositories").await {
            let tags = observed.list(&api, format!("/v2/{repository}/tags/list"), "tags").await;
            for tag in tags {
                observed.manifest(&api, &repository, &tag).await;
            }
        }
        for thing in known {
            match thing {
                Known::Manifest { repository, digest } => observed.manifest(&api, repository, digest).await,
                Known::Blob { repository, digest } => observed.blob(&api, repository, digest).await,
            }
        }
        observed
    }

    async fn list(&mut self, api: &Api, path: String, key: &str) -> BTreeSet<String> {
        let answer = api.get(&format!("{path}?n=1000")).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        let listed: Value = serde_json::from_slice(&answer.body).expect("a list is JSON");
        // The reference writes `null` for a repository without tags.
        let names = listed[key].as_array().into_iter().flatten();
        let names: BTreeSet<_> = names.map(|name| name.as_str().expect("a name").to_owned()).collect();
        self.0.insert(path, Seen::Names(names.clone()));
        names
    }

    /// A manifest and, below it, all that it names in its own repository.
    async fn manifest(&mut self, api: &Api, repository: &str, reference: &str) {
        let mut to_do = vec![reference.to_owned()];
        while let Some(reference) = to_do.pop() {
            let path = format!("/v2/{repository}/manifests/{reference}");
            let Some(body) = self.content(api, path).await else { continue };
            let manifest: Value = serde_json::from_slice(&body).expect("a manifest is JSON");
            let digests = |value: &Value| {
                let found = value.as_array().into_iter().flatten().filter_map(|one| one["digest"].as_str());
                found.map(String::from).collect::<Vec<_>>()
            };
            to_do.extend(digests(&manifest["manifests"]));
            let config = manifest["config"]["digest"].as_str().map(String::from);
            for digest in digests(&manifest["layers"]).into_iter().chain(config) {
                self.blob(api, repository, &digest).await;
            }
        }
    }

    async fn blob(&mut self, api: &Api, repository: &str, digest: &str) {
        self.content(api, format!("/v2/{repository}/blobs/{digest}")).await;
    }

    async fn content(&mut self, api: &Api, path: String) -> Option<bytes::Bytes> {
        if self.0.contains_key(&path) {
            return None;
        }
        let head = api.send(Method::HEAD, &path).await.expect("an answer");
        let answer = api.get(&path).await;
        assert_eq!(head.status, answer.status, "HEAD and GET of {path}");
        if answer.status == 404 {
            self.0.insert(path, Seen::Absent);
            return None;
        }
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        assert_eq!(head.header("content-length"), answer.body.len().to_string(), "HEAD {path}");
        let seen = Seen::Content {
            media_type: answer.header("content-type").to_owned(),
            digest: answer.header("docker-content-digest").to_owned(),
            body_digest: sha256(&answer.body),
            length: answer.body.len(),
        };
        if let Seen::Content { digest, body_digest, .. } = &seen {
            assert_eq!(digest, body_digest, "{path}");
        }
        self.0.insert(path, seen);
        Some(answer.body)
    }

    #[track_caller]
    pub(super) fn assert_same(&self, other: &Self, what: &str) {
        let paths = self.0.keys().chain(other.0.keys()).collect();
        self.assert_same_at(paths, other, what);
    }

    /// Asserts that all that was seen here was seen there too, and alike.
    #[track_caller]
    pub(super) fn assert_part_of(&self, whole: &Self, what: &str) {
        self.assert_same_at(self.0.keys().collect(), whole, what);
    }

    #[track_caller]
    fn assert_same_at(&self, paths: BTreeSet<&String>, other: &Self, what: &str) {
        let differences: Vec<_> = paths
            .into_iter()
            .filter(|path| self.0.get(*path) != other.0.get(*path))
            .map(|path| format!("{path}:\n  before {:?}\n  now    {:?}", self.0.get(path), other.0.get(path)))
            .collect();
        assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
        let mut totals = Totals::default();
        totals.add(self);
        println!("{what}: {totals}: 0 differences");
    }
}

/// How much was compared.
#[derive(Default)]
pub(super) struct Totals {
    repositories: usize,
    tags: usize,
    manifests: usize,
    blobs: usize,
    bytes: usize,
    absent: usize,
}

impl Totals {
    pub(super) fn add(&mut self, observed: &Observed) {
        for (path, seen) in &observed.0 {
            match seen {
                Seen::Names(names) if path == "/v2/_catalog" => self.repositories += names.len(),
                Seen::Names(names) => self.tags += names.len(),
                Seen::Content { length, .. } => {
                    self.bytes += length;
                    *if path.contains("/blobs/") { &mut self.blobs } else { &mut self.manifests } += 1;
                }
                Seen::Absent => self.absent += 1,
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repositories, tags, manifests, blobs, bytes, absent } = self;
        write!(
            f,
            "{repositories} repositories, {tags} tags, {manifests} manifests by tag or digest, {blobs} blobs, \
             {bytes} bytes, {absent} known absences"
        )
    }
}
