//! Uploads: every flow that clients use.

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use pakhuis::oci::{Algorithm, Digest};

use crate::support::{TestRegistry, Upload, assert_oci_error, layer};

fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

#[tokio::test]
async fn a_started_upload_is_described_with_and_without_the_last_slash() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    for path in ["/v2/a/b/blobs/uploads/", "/v2/a/b/blobs/uploads"] {
        let reply = alice.send("POST", path, &[("content-type", "application/json")], "").await;
        assert_eq!(reply.status, 202);
        let id = reply.header("docker-upload-uuid");
        assert_eq!(reply.header("location"), format!("/v2/a/b/blobs/uploads/{id}"));
        assert_eq!((reply.header("range"), reply.header("content-length")), ("0-0", "0"));
    }
}

#[tokio::test]
async fn monolithic_in_both_algorithms() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    for algorithm in Algorithm::ALL {
        for content in [Vec::new(), layer(1, 5000)] {
            let digest = Digest::of(algorithm, &content);
            let path = format!("/v2/a/blobs/uploads/?digest={digest}");
            let reply = alice.send("POST", &path, &[], content.clone()).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            assert_eq!(reply.header("location"), format!("/v2/a/blobs/{digest}"));
            assert_eq!(reply.header("docker-content-digest"), digest.as_str());
            assert_eq!(alice.get(reply.header("location")).await.body, content);
        }
    }
}

#[tokio::test]
async fn sha512_announced_and_not() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    for query in ["", "?digest-algorithm=sha512"] {
        let content = layer(2, 70_000 + query.len());
        let digest = Digest::of(Algorithm::Sha512, &content);
        let started = alice.post(&format!("/v2/a/blobs/uploads/{query}")).await;
        let path = format!("{}?digest={digest}", started.header("location"));
        let reply = alice.send("PUT", &path, &[], content.clone()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(alice.get(reply.header("location")).await.body, content);
    }
    assert_oci_error(&alice.post("/v2/a/blobs/uploads/?digest-algorithm=md5").await, 400, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_wrong_digest_stores_nothing_and_ends_the_upload() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let (content, other) = (layer(3, 3000), sha256(b"something else"));
    let upload = Upload::start(&alice, "a").await;
    assert_eq!(upload.patch(None, &content).await.status, 202);
    assert_oci_error(&upload.put(b"", &other).await, 400, "DIGEST_INVALID");
    assert_eq!(alice.head(&format!("/v2/a/blobs/{other}")).await.status, 404);
    assert_eq!(alice.head(&format!("/v2/a/blobs/{}", sha256(&content))).await.status, 404);
    assert_oci_error(&upload.status().await, 404, "BLOB_UPLOAD_UNKNOWN");
    let reply = alice.send("POST", &format!("/v2/a/blobs/uploads/?digest={other}"), &[], content).await;
    assert_oci_error(&reply, 400, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_missing_or_malformed_digest_leaves_the_upload_as_it_was() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let upload = Upload::start(&alice, "a").await;
    upload.patch(None, b"abc").await;
    for query in ["", "?digest=", "?digest=sha256:x", "?digest=md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let reply = alice.send("PUT", &format!("{}{query}", upload.location), &[], "").await;
        assert_oci_error(&reply, 400, "DIGEST_INVALID");
    }
    assert_eq!(upload.put(b"", &sha256(b"abc")).await.status, 201);
}

#[tokio::test]
async fn chunks_out_of_order_are_told_where_to_go_on() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let upload = Upload::start(&alice, "a").await;

    let reply = upload.patch(Some("5-9"), b"56789").await;
    assert_oci_error(&reply, 416, "RANGE_INVALID");
    assert_eq!((reply.header("location"), reply.find("range")), (upload.location.as_str(), None));
    let status = upload.status().await;
    assert_eq!((status.status, status.header("range")), (204, "0--1"));

    assert_eq!(upload.patch(Some("0-4"), b"01234").await.header("range"), "0-4");
    let reply = upload.patch(Some("0-4"), b"01234").await;
    assert_oci_error(&reply, 416, "RANGE_INVALID");
    assert_eq!((reply.header("location"), reply.header("range")), (upload.location.as_str(), "0-4"));
    let status = upload.status().await;
    assert_eq!((status.header("range"), status.header("location")), ("0-4", upload.location.as_str()));

    let last = format!("{}?digest={}", upload.location, sha256(b"0123456789"));
    let reply = alice.send("PUT", &last, &[("content-range", "0-4")], "56789").await;
    assert_oci_error(&reply, 416, "RANGE_INVALID");
    let reply = alice.send("PUT", &last, &[("content-range", "bytes 5-9/*")], "56789").await;
    assert_eq!(reply.status, 201, "{}", reply.text());
}

#[tokio::test]
async fn a_chunk_is_as_long_as_it_says() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let upload = Upload::start(&alice, "a").await;
    for (range, content) in [("0-4", &b"0123"[..]), ("0-4", b"012345")] {
        assert_oci_error(&upload.patch(Some(range), content).await, 400, "SIZE_INVALID");
    }
    let headers = [("content-range", "0-4"), ("content-length", "4")];
    assert_oci_error(&alice.send("PATCH", &upload.location, &headers, "0123").await, 400, "SIZE_INVALID");
    assert_oci_error(&upload.patch(Some("4-0"), b"01234").await, 400, "RANGE_INVALID");
    assert_eq!(upload.status().await.header("range"), "0--1");
}

/// The bytes of a request that broke must not stand under a good digest later.
#[tokio::test]
async fn a_chunk_that_broke_half_way_can_be_sent_again() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let content = layer(4, 3_000_000);
    let upload = Upload::start(&alice, "a").await;
    upload.patch(None, &content[..1_000_000]).await;
    for _ in 0..2 {
        let broken = stream::iter([
            Ok(Bytes::copy_from_slice(&content[1_000_000..2_500_000])),
            Err(std::io::Error::other("connection reset")),
        ]);
        let reply = alice.send("PATCH", &upload.location, &[], Body::from_stream(broken)).await;
        assert!((400..500).contains(&reply.status));
        assert_eq!(upload.status().await.header("range"), "0-999999");
    }
    let reply = upload.patch(Some("1000000-2999999"), &content[1_000_000..]).await;
    assert_eq!((reply.status, reply.header("range")), (202, "0-2999999"));
    assert_eq!(upload.put(b"", &sha256(&content)).await.status, 201);
    assert!(alice.get(&format!("/v2/a/blobs/{}", sha256(&content))).await.body == content);
}

#[tokio::test]
async fn cancelling_ends_it() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let upload = Upload::start(&alice, "a").await;
    assert_eq!(upload.cancel().await.status, 204);
    for reply in [upload.cancel().await, upload.status().await, upload.patch(None, b"x").await] {
        assert_oci_error(&reply, 404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_oci_error(&upload.put(b"", &sha256(b"")).await, 404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn an_upload_belongs_to_its_repository() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let upload = Upload::start(&alice, "a").await;
    let elsewhere = upload.location.replace("/v2/a/", "/v2/b/");
    assert_oci_error(&alice.get(&elsewhere).await, 404, "BLOB_UPLOAD_UNKNOWN");
    assert_oci_error(&alice.send("PATCH", &elsewhere, &[], "x").await, 404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn mounts_named_and_automatic() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let digest = alice.push_blob("source", b"content").await;
    for (target, query) in [("named", "&from=source"), ("automatic", "")] {
        let reply = alice.post(&format!("/v2/{target}/blobs/uploads/?mount={digest}{query}")).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(reply.header("location"), format!("/v2/{target}/blobs/{digest}"));
        assert_eq!(reply.header("docker-content-digest"), digest.as_str());
        assert_eq!(alice.get(reply.header("location")).await.body, b"content");
    }
}

#[tokio::test]
async fn two_uploads_of_one_blob_both_end_well() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let (first, second) = (Upload::start(&alice, "a").await, Upload::start(&alice, "a").await);
    for upload in [&first, &second] {
        upload.patch(None, b"same").await;
    }
    let digest = sha256(b"same");
    let (second, first) = tokio::join!(second.put(b"", &digest), first.put(b"", &digest));
    assert_eq!((first.status, second.status), (201, 201));
}
