//! The first read of a blob by a server: checked while it streams, cut when it is damaged.

use std::{path::Path, sync::atomic::Ordering};

use pakhuis::oci::{Algorithm, Digest};

use crate::support::{TestRegistry, assert_oci_error, image, layer};

fn flip(path: &Path, position: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[position] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn set_aside(registry: &TestRegistry) -> Vec<String> {
    let names = std::fs::read_dir(registry.v2().join(".pakhuis/damaged")).into_iter().flatten();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_large_damaged_blob_is_cut_before_its_end_then_absent_then_healed_by_a_push() {
    let first = TestRegistry::open_to_all();
    let content = layer(1, 1_500_000);
    let digest = first.anonymous().push_blob("team/app", &content).await;
    flip(&first.blob_path(&digest), 1_000_000);
    let registry = first.another_server();
    let client = registry.anonymous();
    let path = format!("/v2/team/app/blobs/{digest}");
    let (status, arrived, whole) = client.get_perhaps_cut(&path, &[]).await;
    assert_eq!((status, whole), (200, false));
    assert!(arrived.len() < content.len(), "{} bytes of {}", arrived.len(), content.len());
    assert_oci_error(&client.get(&path).await, 404, "BLOB_UNKNOWN");
    assert_eq!(client.head(&path).await.status, 404);
    let aside = set_aside(&registry);
    assert!(aside.len() == 1 && aside[0].starts_with(&format!("sha256-{}-", digest.encoded())), "{aside:?}");
    assert_eq!(client.push_blob("team/app", &content).await, digest);
    assert!(client.get(&path).await.body == content);
    let counters = registry.registry().counters();
    assert_eq!(counters.reads_cut.load(Ordering::Relaxed), 1);
    assert_eq!(counters.damaged_set_aside.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_range_of_a_damaged_blob_is_cut_too_wherever_the_damage_is() {
    for (damaged, range) in [(1_400_000, "bytes=0-9"), (5, "bytes=-10"), (700_000, "bytes=300000-900000")] {
        let first = TestRegistry::open_to_all();
        let digest = first.anonymous().push_blob("a", &layer(2, 1_500_000)).await;
        flip(&first.blob_path(&digest), damaged);
        let registry = first.another_server();
        let path = format!("/v2/a/blobs/{digest}");
        let (status, _, whole) = registry.anonymous().get_perhaps_cut(&path, &[("range", range)]).await;
        assert_eq!((status, whole), (206, false), "{range}");
        assert_eq!(registry.anonymous().head(&path).await.status, 404);
    }
}

#[tokio::test]
async fn a_small_damaged_blob_is_404_at_once() {
    let first = TestRegistry::open_to_all();
    let content = layer(3, 200_000);
    let digest = first.anonymous().push_blob("a", &content).await;
    flip(&first.blob_path(&digest), 199_999);
    let registry = first.another_server();
    let path = format!("/v2/a/blobs/{digest}");
    assert_oci_error(&registry.anonymous().get(&path).await, 404, "BLOB_UNKNOWN");
    assert_eq!(set_aside(&registry).len(), 1);
    registry.anonymous().push_blob("a", &content).await;
    assert!(registry.anonymous().get(&path).await.body == content);
}

#[tokio::test]
async fn many_first_pulls_at_once_hash_each_byte_once_and_all_get_the_blob() {
    let first = TestRegistry::open_to_all();
    let content = layer(4, 3_000_000);
    let digest = first.anonymous().push_blob("a", &content).await;
    let registry = first.another_server();
    let path = format!("/v2/a/blobs/{digest}");
    let client = registry.anonymous();
    let pulls = (0..20).map(|_| client.get(&path));
    for reply in futures_util::future::join_all(pulls).await {
        assert!(reply.status == 200 && reply.body == content);
    }
    let ranges = (0..20).map(|i| {
        let client = &client;
        let path = &path;
        async move {
            let (from, to) = (i * 100_000, i * 150_000 + 10);
            let range = format!("bytes={from}-{to}");
            (from, to, client.send("GET", path, &[("range", &range)], "").await)
        }
    });
    for (from, to, reply) in futures_util::future::join_all(ranges).await {
        assert!(reply.status == 206 && reply.body == content[from..=to]);
    }
    assert_eq!(registry.registry().counters().blobs_verified.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_changes_after_it_was_verified_is_verified_again() {
    let registry = TestRegistry::open_to_all();
    let client = registry.anonymous();
    let digest = client.push_blob("a", &layer(5, 600_000)).await;
    let path = format!("/v2/a/blobs/{digest}");
    for _ in 0..2 {
        assert_eq!(client.get(&path).await.status, 200);
    }
    let counters = registry.registry().counters();
    assert_eq!(counters.blobs_verified.load(Ordering::Relaxed), 1, "its hash was known from the push");
    flip(&registry.blob_path(&digest), 0);
    let (_, _, whole) = client.get_perhaps_cut(&path, &[]).await;
    assert!(!whole);
    assert_eq!(client.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_wrong_size_is_seen_without_a_read() {
    let first = TestRegistry::open_to_all();
    let image = image(6);
    first.anonymous().push("a", "v1", &image).await;
    let digests: Vec<Digest> = image.blobs.iter().map(|blob| Digest::of(Algorithm::Sha256, blob)).collect();
    let truncate = |digest: &Digest, length: u64| {
        let file = std::fs::OpenOptions::new().write(true).open(first.blob_path(digest)).unwrap();
        file.set_len(length).unwrap();
    };
    truncate(&digests[0], 0);
    truncate(&digests[1], 999);
    // A server that knows nothing yet sees that nothing is not something.
    let registry = first.another_server();
    let client = registry.anonymous();
    assert_eq!(client.head(&format!("/v2/a/blobs/{}", digests[0])).await.status, 404);
    assert_eq!(client.head(&format!("/v2/a/blobs/{}", digests[1])).await.status, 200);
    // The manifest says how large the other one is: its push finds both missing.
    let refused = client.put_manifest("a", "v1", image.media_type, &image.manifest).await;
    assert_oci_error(&refused, 400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(refused.json()["errors"].as_array().unwrap().len(), 2);
    assert_eq!(client.head(&format!("/v2/a/blobs/{}", digests[1])).await.status, 404);
    client.push("a", "v1", &image).await;
    // A server that has served the manifest knows the sizes too.
    truncate(&digests[2], 69_999);
    let registry = first.another_server();
    assert_eq!(registry.anonymous().get("/v2/a/manifests/v1").await.status, 200);
    assert_eq!(registry.anonymous().head(&format!("/v2/a/blobs/{}", digests[2])).await.status, 404);
}

#[tokio::test]
async fn a_manifest_that_gives_a_wrong_size_of_a_good_blob_is_accepted() {
    let registry = TestRegistry::open_to_all();
    let client = registry.anonymous();
    let image = image(7);
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["layers"][0]["size"] = 12.into();
    let image = image.with(&manifest);
    client.push("a", "v1", &image).await;
    let path = format!("/v2/a/blobs/{}", Digest::of(Algorithm::Sha256, &image.blobs[1]));
    let server = registry.another_server();
    assert_eq!(server.anonymous().get("/v2/a/manifests/v1").await.status, 200);
    assert_eq!(server.anonymous().head(&path).await.status, 200);
    assert!(server.anonymous().get(&path).await.body == image.blobs[1]);
}

#[tokio::test]
async fn a_damaged_manifest_is_404_set_aside_and_healed_by_a_push() {
    let first = TestRegistry::open_to_all();
    let image = image(8);
    first.anonymous().push("a", "v1", &image).await;
    flip(&first.blob_path(&image.digest()), 40);
    let registry = first.another_server();
    let client = registry.anonymous();
    assert_oci_error(&client.get("/v2/a/manifests/v1").await, 404, "MANIFEST_UNKNOWN");
    assert_eq!(set_aside(&registry).len(), 1);
    client.push("a", "v1", &image).await;
    assert!(client.get("/v2/a/manifests/v1").await.body == image.manifest);
}

#[tokio::test]
async fn bytes_that_are_pushed_heal_damage_of_the_same_size_that_nobody_found() {
    let first = TestRegistry::open_to_all();
    let content = layer(9, 300_000);
    let digest = first.anonymous().push_blob("a", &content).await;
    flip(&first.blob_path(&digest), 7);
    let registry = first.another_server();
    registry.anonymous().push_blob("a", &content).await;
    assert!(registry.anonymous().get(&format!("/v2/a/blobs/{digest}")).await.body == content);
    assert!(std::fs::read(first.blob_path(&digest)).unwrap() == content);
}

#[tokio::test]
async fn a_link_that_names_other_content_serves_nothing() {
    let registry = TestRegistry::open_to_all();
    let client = registry.anonymous();
    let (one, other) = (client.push_blob("a", b"one").await, client.push_blob("a", b"other").await);
    let link = registry.v2().join(format!("repositories/a/_layers/sha256/{}/link", one.encoded()));
    std::fs::write(&link, other.as_str()).unwrap();
    assert_oci_error(&client.get(&format!("/v2/a/blobs/{one}")).await, 404, "BLOB_UNKNOWN");
    client.push_blob("a", b"one").await;
    assert_eq!(client.get(&format!("/v2/a/blobs/{one}")).await.body, b"one");
}

#[tokio::test]
async fn an_alias_of_registry_2_is_checked_against_the_digest_asked_for() {
    let first = TestRegistry::open_to_all();
    for (seed, size) in [(10, 1000), (11, 700_000)] {
        let content = layer(seed, size);
        let digest = first.anonymous().push_blob("a", &content).await;
        let alias = Digest::of(Algorithm::Sha512, &content);
        let wrong = Digest::of(Algorithm::Sha512, b"something else");
        for name in [&alias, &wrong] {
            let directory = first.v2().join(format!("repositories/a/_layers/sha512/{}", name.encoded()));
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("link"), digest.as_str()).unwrap();
        }
        let registry = first.another_server();
        let client = registry.anonymous();
        assert!(client.get(&format!("/v2/a/blobs/{alias}")).await.body == content);
        let (status, _, whole) = client.get_perhaps_cut(&format!("/v2/a/blobs/{wrong}"), &[]).await;
        assert!(status == 404 || !whole, "{status} {size}");
        assert!(client.get(&format!("/v2/a/blobs/{digest}")).await.body == content, "the content is good");
        assert_eq!(set_aside(&registry).len(), 0);
    }
}
