//! Manifests: verbatim, by tag and by digest.

use pakhuis::{
    api::Limits,
    oci::{Algorithm, Digest, media_type},
    registry,
};
use serde_json::json;

use crate::support::{TestRegistry, assert_oci_error, image, index};

#[tokio::test]
async fn a_manifest_is_served_as_pushed_by_tag_and_by_digest() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let image = image(1);
    let digest = image.digest();
    let pushed = alice.push("team/app", "1.2", &image).await;
    assert_eq!(pushed.header("location"), format!("/v2/team/app/manifests/{digest}"));
    assert_eq!(pushed.header("docker-content-digest"), digest.as_str());
    assert_eq!((pushed.header("content-length"), pushed.find("oci-subject")), ("0", None));
    assert_eq!(pushed.find("oci-tag"), None);
    for (reference, caching) in
        [("1.2", "private, no-cache"), (digest.as_str(), "private, max-age=31536000, immutable")]
    {
        let path = format!("/v2/team/app/manifests/{reference}");
        for (reply, body) in
            [(alice.head(&path).await, &[][..]), (alice.get(&path).await, &image.manifest[..])]
        {
            assert_eq!((reply.status, reply.body.as_slice()), (200, body));
            assert_eq!(reply.header("content-type"), media_type::OCI_MANIFEST);
            assert_eq!(reply.header("content-length"), image.manifest.len().to_string());
            assert_eq!(reply.header("docker-content-digest"), digest.as_str());
            assert_eq!(reply.header("etag"), format!("\"{digest}\""));
            assert_eq!(reply.header("cache-control"), caching);
        }
    }
}

#[tokio::test]
async fn pushing_the_same_again_is_created_again() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    for _ in 0..2 {
        alice.push("a", "latest", &image(1)).await;
    }
}

#[tokio::test]
async fn conditions() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("a", "latest", &image(1)).await;
    let digest = image(1).digest();
    for value in [format!("\"{digest}\""), digest.to_string(), format!("W/\"{digest}\"")] {
        for method in ["GET", "HEAD"] {
            let reply = alice.send(method, "/v2/a/manifests/latest", &[("if-none-match", &value)], "").await;
            assert_eq!((reply.status, reply.body.len()), (304, 0));
            assert_eq!(reply.header("docker-content-digest"), digest.as_str());
        }
    }
    alice.push("a", "latest", &image(2)).await;
    let old = format!("\"{digest}\"");
    assert_eq!(alice.send("GET", "/v2/a/manifests/latest", &[("if-none-match", &old)], "").await.status, 200);
}

#[tokio::test]
async fn a_tag_moves_and_the_old_manifest_stays() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("a", "latest", &image(1)).await;
    alice.push("a", "latest", &image(2)).await;
    assert_eq!(alice.get("/v2/a/manifests/latest").await.body, image(2).manifest);
    let old = alice.get(&format!("/v2/a/manifests/{}", image(1).digest())).await;
    assert_eq!(old.body, image(1).manifest);
}

#[tokio::test]
async fn several_tags_in_one_push() {
    let registry = TestRegistry::start_with(
        registry::Config::default(),
        Limits { tag_parameters: 10, ..Limits::default() },
    );
    let alice = registry.as_user("alice");
    let image = image(1);
    alice.push("a", "first", &image).await;
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, &image.manifest);
        let name = algorithm.as_str();
        let path = format!("{digest}?tag={name}-1&tag={name}.2&ns=x&tag={name}-1");
        let reply = alice.put_manifest("a", &path, image.media_type, &image.manifest).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(reply.header("docker-content-digest"), digest.as_str());
        let mut tags = reply.all("oci-tag");
        tags.sort_unstable();
        assert_eq!(tags, [format!("{name}-1"), format!("{name}.2")]);
        let by_tag = alice.get(&format!("/v2/a/manifests/{name}.2")).await;
        assert_eq!(by_tag.header("docker-content-digest"), digest.as_str());
    }
    let digest = image.digest();
    let path = format!("{digest}?tag=ok&tag=.bad");
    let reply = alice.put_manifest("a", &path, image.media_type, &image.manifest).await;
    assert_oci_error(&reply, 400, "TAG_INVALID");
    assert_eq!(alice.head("/v2/a/manifests/ok").await.status, 404);
    let many: Vec<String> = (0..11).map(|i| format!("tag=t{i}")).collect();
    let path = format!("{digest}?{}", many.join("&"));
    let reply = alice.put_manifest("a", &path, image.media_type, &image.manifest).await;
    assert_oci_error(&reply, 414, "TAG_INVALID");
}

#[tokio::test]
async fn a_tag_that_was_moved_before_the_push_failed_is_in_the_journal() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let image = image(1);
    alice.push("a", "there", &image).await;
    // No tag can be where a file is.
    std::fs::write(registry.v2().join("repositories/a/_manifests/tags/cannot"), "").unwrap();
    let path = format!("{}?tag=there&tag=moved&tag=cannot&tag=never", image.digest());
    let reply = alice.put_manifest("a", &path, image.media_type, &image.manifest).await;
    assert!(reply.status >= 500, "{}", reply.text());
    for (tag, status) in [("moved", 200), ("never", 404)] {
        assert_eq!(alice.head(&format!("/v2/a/manifests/{tag}")).await.status, status, "{tag}");
    }
    let (entries, _) = registry.registry().journal(0, 10, |_| true).await.unwrap();
    let told: Vec<_> =
        entries.iter().map(|entry| (entry.tag.as_ref().map(|tag| tag.as_str()), &entry.now)).collect();
    let pushed = Some(image.digest());
    assert_eq!(told, [(Some("moved"), &pushed), (Some("there"), &pushed)]);
}

#[tokio::test]
async fn deleting_a_tag_leaves_the_manifest_and_deleting_the_manifest_takes_its_tags() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let digest = image(1).digest();
    for tag in ["one", "two"] {
        alice.push("a", tag, &image(1)).await;
    }
    let reply = alice.delete("/v2/a/manifests/one").await;
    assert_eq!((reply.status, reply.header("content-length")), (202, "0"));
    assert_eq!(alice.head("/v2/a/manifests/one").await.status, 404);
    assert_eq!(alice.head("/v2/a/manifests/two").await.status, 200);
    assert_eq!(alice.delete(&format!("/v2/a/manifests/{digest}")).await.status, 202);
    assert_eq!(alice.head("/v2/a/manifests/two").await.status, 404);
    for reference in ["one", "two", digest.as_str()] {
        let reply = alice.delete(&format!("/v2/a/manifests/{reference}")).await;
        assert_oci_error(&reply, 404, "MANIFEST_UNKNOWN");
    }
    assert_eq!(alice.get("/v2/a/tags/list").await.json()["tags"], json!([]));
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let image = image(1);
    let reply = alice.put_manifest("a", "latest", image.media_type, &image.manifest).await;
    assert_oci_error(&reply, 400, "MANIFEST_BLOB_UNKNOWN");
    let body = reply.json();
    let named: Vec<&str> =
        body["errors"].as_array().unwrap().iter().map(|e| e["detail"]["digest"].as_str().unwrap()).collect();
    for blob in &image.blobs {
        assert!(named.contains(&Digest::of(Algorithm::Sha256, blob).as_str()), "{body}");
    }
    assert_eq!(alice.head("/v2/a/manifests/latest").await.status, 404);
}

#[tokio::test]
async fn content_that_is_not_what_the_digest_says() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("a", "latest", &image(1)).await;
    let changed = [image(1).manifest, b"  ".to_vec()].concat();
    let reply = alice.put_manifest("a", image(1).digest().as_str(), media_type::OCI_MANIFEST, &changed).await;
    assert_oci_error(&reply, 400, "DIGEST_INVALID");
}

#[tokio::test]
async fn schema_one_is_refused_in_words() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    for media_type in [media_type::DOCKER_SCHEMA1, media_type::DOCKER_SCHEMA1_SIGNED, "application/json"] {
        let reply = alice.put_manifest("a", "old", media_type, br#"{"schemaVersion":1,"name":"a"}"#).await;
        assert_oci_error(&reply, 400, "MANIFEST_INVALID");
        assert!(reply.text().contains("schema 1 manifests are not supported"));
    }
}

#[tokio::test]
async fn four_mebibytes_are_taken_and_a_byte_more_is_not() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let limit = 4 << 20;
    let padded = |size: usize| {
        let mut bytes = index(&[]).manifest;
        bytes.resize(size, b' ');
        bytes
    };
    let (largest, larger) = (padded(limit), padded(limit + 1));
    assert_eq!(alice.put_manifest("a", "x", media_type::OCI_INDEX, &largest).await.status, 201);
    assert_eq!(alice.get("/v2/a/manifests/x").await.body.len(), limit);
    assert_oci_error(
        &alice.put_manifest("a", "y", media_type::OCI_INDEX, &larger).await,
        413,
        "SIZE_INVALID",
    );
    let announced = [("content-length", "4194305"), ("content-type", media_type::OCI_INDEX)];
    let never = axum::body::Body::from_stream(futures_util::stream::pending::<
        Result<bytes::Bytes, std::convert::Infallible>,
    >());
    let reply = alice.send("PUT", "/v2/a/manifests/y", &announced, never).await;
    assert_oci_error(&reply, 413, "SIZE_INVALID");
}

/// A push of a manifest while somebody deletes the same: whatever the order, a tag names what can be pulled.
#[tokio::test]
async fn a_push_and_a_delete_of_one_manifest_leave_no_dangling_tag() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let image = image(1);
    alice.push("a", "first", &image).await;
    let by_digest = format!("/v2/a/manifests/{}", image.digest());
    for round in 0..100 {
        let (put, delete) = tokio::join!(
            alice.put_manifest("a", "t", image.media_type, &image.manifest),
            alice.delete(&by_digest),
        );
        assert_eq!(put.status, 201, "round {round}: {}", put.text());
        assert!(matches!(delete.status, 202 | 404), "round {round}: {}", delete.status);
        let listed = alice.get("/v2/a/tags/list").await.text().contains("\"t\"");
        let pulled = alice.head("/v2/a/manifests/t").await.status;
        assert_eq!(pulled, if listed { 200 } else { 404 }, "round {round}");
    }
}
