//! What else an old volume has in it, none of which may disturb.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use pakhuis::oci::{Algorithm, Digest};
use serde_json::json;

use super::{Inherited, assert_pulls, files, list};
use crate::support::{TestRegistry, assert_oci_error, image, write};

const OLD_UPLOAD: &str = "6b3c3f0e-8c36-4a43-9a2c-2f0d6b1f3f10";

#[tokio::test]
async fn nested_unfinished_and_empty_repositories_are_listed_sensibly() {
    let inherited = Inherited::new();
    let tree = &inherited.tree;
    tree.add_image("a", Some("v1"), &image(1));
    tree.add_image("a/b", Some("v1"), &image(2));
    tree.add_image("a-b", Some("v1"), &image(2));
    tree.add_image("untagged", None, &image(3));
    tree.add_blob("blobs/only", b"a blob");
    fs::create_dir_all(tree.repository("uploads/only").join("_uploads").join(OLD_UPLOAD)).unwrap();
    fs::create_dir_all(tree.repository("empty/space")).unwrap();
    fs::create_dir_all(tree.repository(".snapshot/v1/_manifests/tags")).unwrap();
    let registry = inherited.serve();
    let client = registry.anonymous();
    // registry:2 2.8 lists what has `_layers`, 3.x what has `_manifests`; who has either is listed here.
    let repositories = list(&client, "/v2/_catalog", "repositories").await;
    assert_eq!(repositories, ["a", "a/b", "a-b", "blobs/only", "untagged"]);
    let tags = client.get("/v2/untagged/tags/list").await;
    assert_eq!(tags.json(), json!({ "name": "untagged", "tags": [] }));
    for path in ["/v2/blobs/only/tags/list", "/v2/uploads/only/tags/list", "/v2/empty/space/tags/list"] {
        assert_oci_error(&client.get(path).await, 404, "NAME_UNKNOWN");
    }
    let by_digest = format!("/v2/untagged/manifests/{}", image(3).digest());
    assert_eq!(client.get(&by_digest).await.body, image(3).manifest);
    assert_pulls(&client, "a", "v1", &image(1)).await;
    assert_pulls(&client, "a/b", "v1", &image(2)).await;
    // A push makes a whole repository of what was half of one.
    client.push("blobs/only", "v1", &image(4)).await;
    assert_pulls(&client, "blobs/only", "v1", &image(4)).await;
}

#[tokio::test]
async fn leftovers_of_crashes_are_not_seen() {
    let inherited = Inherited::new();
    let tree = &inherited.tree;
    let digest = tree.add_image("app", Some("v1"), &image(1));
    let beside = |path: std::path::PathBuf, name: &str| {
        let path = path.with_file_name(name);
        write(&path, b"sha256:torn");
        let file = fs::File::open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(2 * 3600)).unwrap();
    };
    for name in
        ["link.0f5f0b9e-2f0f-4d4b-8e4f-0a8f6c9d2b11.tmp", ".link.5f.tmp", ".nfs000000000012345600000001"]
    {
        beside(tree.tag("app", "v1"), name);
        beside(tree.revision("app", &digest), name);
        beside(tree.layer("app", &Digest::of(Algorithm::Sha256, &image(1).blobs[0])), name);
        beside(tree.data(&digest), name);
    }
    write(&tree.repository("app").join("_manifests/tags/.nfs0000000000654321"), b"");
    write(&tree.repository("app").join("_manifests/revisions/sha256/not-a-digest/link"), b"x");
    write(&tree.v2().join("repositories/.nfs00001"), b"");
    let registry = inherited.serve();
    let client = registry.anonymous();
    assert_eq!(list(&client, "/v2/_catalog", "repositories").await, ["app"]);
    assert_eq!(list(&client, "/v2/app/tags/list", "tags").await, ["v1"]);
    assert_pulls(&client, "app", "v1", &image(1)).await;
    let referrers = client.get(&format!("/v2/app/referrers/{digest}")).await;
    assert_eq!(referrers.json()["manifests"], json!([]));
    assert_eq!(client.delete("/v2/app/manifests/v1").await.status, 202);
    assert_eq!(list(&client, "/v2/app/tags/list", "tags").await, [] as [&str; 0]);
}

#[tokio::test]
async fn sha512_content_that_registry_2_stored_under_sha256_is_found() {
    let inherited = Inherited::new();
    let layer = b"stored under sha256, asked for by sha512";
    let alias = Digest::of(Algorithm::Sha512, layer);
    let stored = inherited.tree.add_blob("app", layer);
    write(&inherited.tree.layer("app", &alias), stored.as_str().as_bytes());
    let registry = inherited.serve();
    let client = registry.anonymous();
    for digest in [&alias, &stored] {
        let reply = client.get(&format!("/v2/app/blobs/{digest}")).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, layer.as_slice()), "{digest}");
    }
}

#[tokio::test]
async fn abandoned_uploads_can_be_asked_for_cancelled_and_left_alone() {
    let started: [Option<&[u8]>; 3] = [Some(b"2016-11-22T17:14:10Z"), Some(b""), None];
    for startedat in started {
        let inherited = Inherited::new();
        let tree = &inherited.tree;
        tree.add_image("app", Some("v1"), &image(1));
        let session = tree.repository("app").join("_uploads").join(OLD_UPLOAD);
        write(&session.join("data"), b"half a lay");
        write(&session.join("hashstates/sha256/10"), &[7; 108]);
        if let Some(startedat) = startedat {
            write(&session.join("startedat"), startedat);
        }
        let registry = inherited.serve();
        let client = registry.anonymous();
        let location = format!("/v2/app/blobs/uploads/{OLD_UPLOAD}");
        let expected = if startedat.is_some() { 204 } else { 404 };
        // The address as registry:2 gave it, with its token.
        assert_eq!(client.get(&format!("{location}?_state=token")).await.status, expected);
        assert_pulls(&client, "app", "v1", &image(1)).await;
        assert_eq!(client.delete(&location).await.status, expected);
        assert_eq!(client.get(&location).await.status, 404);
        assert_eq!(session.exists(), startedat.is_none());
    }
}

#[tokio::test]
async fn an_upload_that_registry_2_began_begins_again() {
    let inherited = Inherited::new();
    let session = inherited.tree.repository("app").join("_uploads").join(OLD_UPLOAD);
    write(&session.join("data"), b"half a lay");
    write(&session.join("startedat"), b"2016-11-22T17:14:10Z");
    let registry = inherited.serve();
    let client = registry.anonymous();
    let location = format!("/v2/app/blobs/uploads/{OLD_UPLOAD}");
    let digest = Digest::of(Algorithm::Sha256, b"a whole layer");
    let reply =
        client.send("PUT", &format!("{location}?digest={digest}"), &[], b"a whole layer".to_vec()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(client.get(&format!("/v2/app/blobs/{digest}")).await.body, b"a whole layer");
}

#[tokio::test]
async fn serving_changes_no_byte_of_what_is_there() {
    let inherited = Inherited::new();
    let tree = &inherited.tree;
    for (repository, seed) in [("a", 1), ("a/b", 2), ("c", 1)] {
        tree.add_image(repository, Some("v1"), &image(seed));
    }
    let before = files(tree.v2());
    let registry = inherited.serve();
    let client = registry.anonymous();
    for (repository, seed) in [("a", 1), ("a/b", 2), ("c", 1)] {
        assert_pulls(&client, repository, "v1", &image(seed)).await;
        client.get(&format!("/v2/{repository}/referrers/{}", image(seed).digest())).await;
        // Pushing what is there already changes nothing either.
        client.push(repository, "v1", &image(seed)).await;
    }
    let after = files(registry.tree().v2());
    for (path, bytes) in &before {
        assert_eq!(after.get(path), Some(bytes), "{}", path.display());
    }
    let added: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    let ours = |path: &&&std::path::PathBuf| {
        path.components().any(|part| matches!(part.as_os_str().to_str(), Some("_referrers" | ".pakhuis")))
    };
    assert_eq!(added.iter().filter(ours).count(), added.len(), "{added:?}");
}

#[tokio::test]
async fn the_directory_above_v2_is_a_root_too() {
    let inherited = Inherited::new();
    inherited.tree.add_image("app", Some("v1"), &image(1));
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("data")).unwrap();
    fs::rename(inherited.tree.v2(), directory.path().join("data/v2")).unwrap();
    let registry = TestRegistry::over(std::sync::Arc::new(directory));
    assert_pulls(&registry.anonymous(), "app", "v1", &image(1)).await;
    assert!(!registry.root().join("docker").exists());
}
