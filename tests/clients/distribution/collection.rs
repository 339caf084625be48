//! The collectors of 2.8 and 3.1 on volumes that have what only ours puts there, and what they do to it.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use sha2::{Digest as _, Sha512};

use super::fill::{Known, fill, upload};
use super::observed::Observed;
use super::referrers::push_referrer;
use super::{Server, copy_of, start_ours};
use crate::support::{Api, Reference, TestServer, sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub(super) fn sha512(bytes: &[u8]) -> String {
    let hex: String = Sha512::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha512:{hex}")
}

fn v2(root: &Path) -> PathBuf {
    root.join("docker/registry/v2")
}

#[tokio::test]
async fn what_only_ours_can_do_leaves_a_volume_that_each_of_them_serves_and_collects() {
    let volume = tempfile::tempdir().expect("a volume");
    let mut ours = start_ours(volume.path());
    let mut known = fill(&ours, "first").await;
    let api = Api::new(&ours);
    for path in ["first/team/app/manifests/multi", "first/other/manifests/v1"] {
        let deleted = api.send(Method::DELETE, &format!("/v2/{path}")).await.expect("an answer");
        assert_eq!(deleted.status, 202, "{path}: {:?}", deleted.body);
    }
    let subject = api.get("/v2/first/team/app/manifests/v1").await;
    let digest = subject.header("docker-content-digest");
    let referrer = push_referrer(&api, "first/team/app", digest, "of-ours").await;
    known.push(Known::Manifest { repository: "first/team/app".to_owned(), digest: referrer });
    let written = Observed::by(&ours, &known).await;
    known.retain(|thing| matches!(thing, Known::Manifest { .. }));
    let pullable = Observed::by(&ours, &known).await;
    ours.stop();
    let private = private_files(volume.path());
    assert!(!private.is_empty(), "the key of the sessions at least");

    for reference in Reference::ALL {
        let copy = copy_of(volume.path());
        // What a check of the volume sets aside, with names that would mean something elsewhere.
        for name in ["damaged/sha256-00-1f", "x/data", "x/link", "x/_layers/sha256/x/link", "x/_manifests/x"]
        {
            let path = v2(copy.path()).join(".pakhuis").join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, b"ours").expect("a file");
        }
        let before = private_files(copy.path());
        let mut theirs = TestServer::start_reference(reference, copy.path());
        let all = Observed::by(&theirs, &[]).await;
        all.assert_part_of(&written, &format!("{reference:?} after ours"));
        theirs.stop();
        reference.garbage_collect(copy.path(), &[]);
        theirs.restart();
        let found = Observed::by(&theirs, &known).await;
        pullable.assert_same(&found, &format!("{reference:?} after its collection"));
        theirs.stop();
        assert_eq!(private_files(copy.path()), before, "{reference:?} leaves alone what is ours");
    }
}

/// Our private files and the index of referrers, with their sizes.
fn private_files(root: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut to_do = vec![root.to_owned()];
    while let Some(directory) = to_do.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let below = path.strip_prefix(root).expect("below the root").to_owned();
            if path.is_dir() {
                to_do.push(path);
            } else if below.to_string_lossy().contains(".pakhuis/")
                || below.to_string_lossy().contains("/_referrers/")
            {
                found.push((below, fs::metadata(&path).expect("a file").len()));
            }
        }
    }
    found.sort_unstable();
    found
}

/// The layer and the configuration of an image that names both by sha512, and its manifest.
async fn push_sha512_image(api: &Api, repository: &str) -> Vec<(String, Vec<u8>)> {
    let config = br#"{"architecture":"amd64","os":"linux"}"#.to_vec();
    let layer = b"a layer that its manifest names by sha512".repeat(100);
    for bytes in [&config, &layer] {
        upload(api, repository, &sha512(bytes), bytes.clone()).await;
    }
    let descriptor = |media_type: &str, bytes: &[u8]| serde_json::json!({ "mediaType": media_type, "digest": sha512(bytes), "size": bytes.len() });
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let put = api.put_manifest(repository, "sha512", MANIFEST, manifest.clone()).await.expect("an answer");
    assert_eq!(put.status, 201, "{:?}", put.body);
    vec![
        ("manifests/sha512".to_owned(), manifest),
        (format!("blobs/{}", sha512(&config)), config),
        (format!("blobs/{}", sha512(&layer)), layer),
    ]
}

async fn assert_serves(server: &TestServer, repository: &str, contents: &[(String, Vec<u8>)], what: &str) {
    let api = Api::new(server);
    for (path, bytes) in contents {
        let answer = api.get(&format!("/v2/{repository}/{path}")).await;
        assert_eq!((answer.status, sha256(&answer.body)), (200, sha256(bytes)), "{what}: {path}");
    }
}

#[tokio::test]
async fn sha512_content_of_ours_outlives_their_collections_and_theirs_is_served_until_one() {
    let volume = tempfile::tempdir().expect("a volume");
    let mut ours = start_ours(volume.path());
    let contents = push_sha512_image(&Api::new(&ours), "native").await;
    ours.stop();
    for reference in Reference::ALL {
        let copy = copy_of(volume.path());
        for flags in [&[][..], &["-m"]] {
            reference.garbage_collect(copy.path(), flags);
            let mut theirs = TestServer::start_reference(reference, copy.path());
            assert_serves(&theirs, "native", &contents, &format!("{reference:?} {flags:?}")).await;
            theirs.stop();
        }
        let alias = tempfile::tempdir().expect("a volume");
        let mut theirs = TestServer::start_reference(reference, alias.path());
        let contents = push_sha512_image(&Api::new(&theirs), "alias").await;
        theirs.stop();
        let mut ours = start_ours(alias.path());
        assert_serves(&ours, "alias", &contents, &format!("ours after {reference:?}")).await;
        ours.stop();
        // Their collector takes their own sha512 content for unused: docs/migration.md warns of it.
        let collected = reference.try_garbage_collect(alias.path(), &[]);
        assert_eq!(collected.status.success(), reference == Reference::Two, "{reference:?} {collected:?}");
        let mut ours = start_ours(alias.path());
        let api = Api::new(&ours);
        for (path, _) in contents.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            assert_eq!(api.get(&format!("/v2/alias/{path}")).await.status, 404, "{reference:?}: {path}");
        }
        // The next push heals it, in the form that their collectors keep.
        let contents = push_sha512_image(&api, "alias").await;
        ours.stop();
        reference.garbage_collect(alias.path(), &[]);
        let mut theirs = TestServer::start_reference(reference, alias.path());
        assert_serves(&theirs, "alias", &contents, &format!("{reference:?} after ours healed it")).await;
        theirs.stop();
    }
}

#[tokio::test]
async fn the_directories_we_make_are_those_their_collectors_need() {
    let volume = tempfile::tempdir().expect("a volume");
    let mut ours = start_ours(volume.path());
    fill(&ours, "made").await;
    // A repository whose first content is a manifest without blobs.
    let index =
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let api = Api::new(&ours);
    let media_type = "application/vnd.oci.image.index.v1+json";
    let put = api.put_manifest("made/index", "v1", media_type, index.to_vec()).await.expect("an answer");
    assert_eq!(put.status, 201, "{:?}", put.body);
    ours.stop();
    let repository = v2(volume.path()).join("repositories/made/index");
    for directory in ["_layers", "_manifests/revisions", "_manifests/tags"] {
        assert!(repository.join(directory).is_dir(), "{directory}");
    }
    for reference in Reference::ALL {
        let copy = copy_of(volume.path());
        reference.garbage_collect(copy.path(), &["-m"]);
        // Why: without `_layers` 2.8 deletes the data of a repository, and 3.1 stops.
        let copy = copy_of(volume.path());
        let repository = v2(copy.path()).join("repositories/made/team/app");
        fs::remove_dir_all(repository.join("_layers")).expect("a directory of ours");
        let collected = reference.try_garbage_collect(copy.path(), &[]);
        assert_eq!(collected.status.success(), reference == Reference::Two, "{reference:?}: {collected:?}");
        let mut server = Server::Ours.start(copy.path());
        let status = Api::new(&server).get("/v2/made/team/app/manifests/moving").await.status;
        assert_eq!(status, if reference == Reference::Two { 404 } else { 200 }, "{reference:?}");
        server.stop();
    }
}
