//! Debian's docker-registry 2.8 on the same volume, before us and after us: what one wrote the other serves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reqwest::Method;
use serde_json::Value;

use crate::support::{Api, Blob, ImageSpec, Layout, Options, TestServer, sha256};

#[tokio::test]
async fn ours_takes_over_a_volume_of_docker_registry_and_gives_it_back() {
    let volume = tempfile::tempdir().expect("a volume");
    let mut reference = TestServer::start_reference(volume.path());
    let known = fill(&reference, "first").await;
    let written = Observed::by(&reference, &known).await;
    reference.stop();

    let mut ours = start_ours(volume.path());
    written.assert_same(&Observed::by(&ours, &known).await, "ours after docker-registry");
    let mut known = known;
    known.extend(fill(&ours, "second").await);
    delete_manifest(&ours, "first/team/app", "moving").await;
    let written = Observed::by(&ours, &known).await;
    let pullable = Observed::by(&ours, &[]).await;
    ours.stop();

    reference.restart();
    written.assert_same(&Observed::by(&reference, &known).await, "docker-registry after ours");
    reference.stop();
    reference.reference_garbage_collect();
    reference.restart();
    pullable.assert_same(&Observed::by(&reference, &[]).await, "docker-registry after its collection");
}

#[tokio::test]
async fn docker_registry_takes_over_a_volume_of_ours_and_gives_it_back() {
    let volume = tempfile::tempdir().expect("a volume");
    let mut ours = start_ours(volume.path());
    let known = fill(&ours, "first").await;
    let written = Observed::by(&ours, &known).await;
    ours.stop();

    let mut reference = TestServer::start_reference(volume.path());
    written.assert_same(&Observed::by(&reference, &known).await, "docker-registry after ours");
    let mut known = known;
    known.extend(fill(&reference, "second").await);
    delete_manifest(&reference, "first/team/app", "moving").await;
    let written = Observed::by(&reference, &known).await;
    reference.stop();

    ours.restart();
    written.assert_same(&Observed::by(&ours, &known).await, "ours after docker-registry");
    let pullable = Observed::by(&ours, &[]).await;
    ours.stop();
    reference.reference_garbage_collect();
    ours.restart();
    pullable.assert_same(&Observed::by(&ours, &[]).await, "ours after its collection");
    fill(&ours, "third").await;
}

#[tokio::test]
async fn what_only_ours_can_do_leaves_a_volume_that_docker_registry_serves_and_collects() {
    let volume = tempfile::tempdir().expect("a volume");
    let mut ours = start_ours(volume.path());
    let mut known = fill(&ours, "first").await;
    let api = Api::new(&ours);
    for path in ["first/team/app/manifests/multi", "first/other/manifests/v1"] {
        let deleted = api.send(Method::DELETE, &format!("/v2/{path}")).await.expect("an answer");
        assert_eq!(deleted.status, 202, "{path}: {:?}", deleted.body);
    }
    known.push(push_referrer(&api, "first/team/app").await);
    let written = Observed::by(&ours, &known).await;
    let pullable = Observed::by(&ours, &[]).await;
    ours.stop();

    let mut reference = TestServer::start_reference(volume.path());
    written.assert_same(&Observed::by(&reference, &known).await, "docker-registry after ours");
    reference.stop();
    reference.reference_garbage_collect();
    reference.restart();
    pullable.assert_same(&Observed::by(&reference, &[]).await, "docker-registry after its collection");
}

fn start_ours(volume: &Path) -> TestServer {
    TestServer::start(Options { storage_root: Some(volume.to_owned()), ..Options::default() })
}

/// Something that was pushed: where to ask for it afterwards, whether it is still there or not.
#[derive(Clone)]
enum Known {
    Manifest { repository: String, digest: String },
    Blob { repository: String, digest: String },
}

/// Images, an index of two platforms, one image in two repositories, a repository below another one,
/// a tag that moves, and a manifest that is deleted again. Gives everything that was ever pushed.
async fn fill(server: &TestServer, prefix: &str) -> Vec<Known> {
    let api = Api::new(server);
    let directory = tempfile::tempdir_in(server.directory()).expect("a directory");
    let layout = Layout::create(directory.path());
    let seed: u64 = prefix.bytes().map(u64::from).sum();
    let image = |number: u64, layers, bytes| layout.add_image(ImageSpec::new(seed + number, layers, bytes));
    let (app, small, empty) = (image(1, 5, 40_000), image(2, 1, 1), image(3, 0, 0));
    let arm = layout.add_image(ImageSpec { architecture: "arm64", ..ImageSpec::new(seed + 4, 2, 20_000) });

    let places = [
        ("team/app", "v1", &app),
        ("team/app", "doomed", &small),
        ("team/app", "empty", &empty),
        ("team/app", "moving", &app),
        ("team/app", "moving", &arm),
        ("other", "v1", &app),
        ("other/below", "v1", &small),
        ("other/below", "same", &small),
    ];
    let mut known = Vec::new();
    for (repository, tag, image) in places {
        let repository = format!("{prefix}/{repository}");
        api.push_image(&repository, tag, &layout, image).await;
        known.extend(layout.parts(image).iter().map(|part| blob(&repository, part)));
        known.push(Known::Manifest { repository, digest: image.digest.clone() });
    }
    let repository = format!("{prefix}/team/app");
    let index = layout.add_index(&[(app.clone(), "amd64"), (arm.clone(), "arm64")]);
    api.push_manifest(&repository, "multi", &layout, &index).await;
    known.push(Known::Manifest { repository: repository.clone(), digest: index.digest });
    delete_manifest(server, &repository, "doomed").await;
    known
}

fn blob(repository: &str, blob: &Blob) -> Known {
    Known::Blob { repository: repository.to_owned(), digest: blob.digest.clone() }
}

/// Deletes by digest what a tag points to.
async fn delete_manifest(server: &TestServer, repository: &str, tag: &str) {
    let api = Api::new(server);
    let found = api.get(&format!("/v2/{repository}/manifests/{tag}")).await;
    assert_eq!(found.status, 200, "{repository}:{tag}");
    let path = format!("/v2/{repository}/manifests/{}", found.header("docker-content-digest"));
    let deleted = api.send(Method::DELETE, &path).await.expect("an answer");
    assert_eq!(deleted.status, 202, "{path}: {:?}", deleted.body);
    assert_eq!(api.get(&path).await.status, 404, "{path} after its deletion");
}

/// A manifest with a subject, which the reference stores and does not understand.
async fn push_referrer(api: &Api, repository: &str) -> Known {
    let subject = api.get(&format!("/v2/{repository}/manifests/v1")).await;
    let empty = b"{}";
    let pushed = api.upload(repository, &sha256(empty), empty.to_vec()).await.expect("an answer");
    assert_eq!(pushed.status, 201, "{:?}", pushed.body);
    let descriptor = serde_json::json!({
        "mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(empty), "size": empty.len(),
    });
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": subject.header("content-type"),
        "artifactType": "application/vnd.example.signature.v1",
        "config": descriptor,
        "layers": [descriptor],
        "subject": {
            "mediaType": subject.header("content-type"),
            "digest": subject.header("docker-content-digest"),
            "size": subject.body.len(),
        },
    });
    let bytes = manifest.to_string().into_bytes();
    let digest = sha256(&bytes);
    let put = api.put_manifest(repository, &digest, subject.header("content-type"), bytes).await;
    assert_eq!(put.expect("an answer").status, 201);
    Known::Manifest { repository: repository.to_owned(), digest }
}

/// What a server answers: to every question about what it lists, and about what is known to have been there.
struct Observed(BTreeMap<String, Seen>);

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Names(BTreeSet<String>),
    Content { media_type: String, digest: String, body_digest: String, length: usize },
    Absent,
}

impl Observed {
    async fn by(server: &TestServer, known: &[Known]) -> Self {
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
    fn assert_same(&self, other: &Self, what: &str) {
        let paths: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let differences: Vec<_> = paths
            .into_iter()
            .filter(|path| self.0.get(*path) != other.0.get(*path))
            .map(|path| format!("{path}:\n  before {:?}\n  now    {:?}", self.0.get(path), other.0.get(path)))
            .collect();
        assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
        let present = self.0.values().filter(|seen| matches!(seen, Seen::Content { .. })).count();
        println!("{what}: {present} contents and {} other answers are the same", self.0.len() - present);
    }
}
