//! Blobs: existence, content, ranges, deletion.

use crate::support::{TestRegistry, assert_oci_error, layer};

#[tokio::test]
async fn a_blob_is_served_as_pushed_with_exact_headers() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    for content in [Vec::new(), b"{}".to_vec(), layer(1, 1), layer(2, 700_001)] {
        let digest = alice.push_blob("team/app", &content).await;
        let path = format!("/v2/team/app/blobs/{digest}");
        for (reply, body) in [(alice.head(&path).await, &[][..]), (alice.get(&path).await, &content[..])] {
            assert_eq!(reply.status, 200);
            assert!(reply.body == body);
            assert_eq!(reply.header("content-length"), content.len().to_string());
            assert_eq!(reply.header("content-type"), "application/octet-stream");
            assert_eq!(reply.header("docker-content-digest"), digest.as_str());
            assert_eq!(reply.header("accept-ranges"), "bytes");
            assert_eq!(reply.header("etag"), format!("\"{digest}\""));
            assert_eq!(reply.header("cache-control"), "private, max-age=31536000, immutable");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_also_in_a_repository_that_is_not() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let digest = alice.push_blob("team/app", b"here").await;
    for path in [format!("/v2/team/other/blobs/{digest}"), format!("/v2/never/seen/blobs/{digest}")] {
        assert_oci_error(&alice.get(&path).await, 404, "BLOB_UNKNOWN");
        let head = alice.head(&path).await;
        assert_eq!((head.status, head.body.len()), (404, 0));
    }
}

#[tokio::test]
async fn one_range() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let content = layer(3, 2048);
    let path = format!("/v2/a/blobs/{}", alice.push_blob("a", &content).await);
    for (range, first, last) in [
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, 2047),
        ("bytes=-500", 1548, 2047),
        ("bytes=2000-5000", 2000, 2047),
        ("bytes=0-1", 0, 1),
        ("bytes=0-2048", 0, 2047),
    ] {
        let reply = alice.send("GET", &path, &[("range", range)], "").await;
        assert_eq!(reply.status, 206, "{range}");
        assert!(reply.body == content[first..=last], "{range}");
        assert_eq!(reply.header("content-range"), format!("bytes {first}-{last}/2048"));
        assert_eq!(reply.header("content-length"), (last - first + 1).to_string());
    }
    let not_there = ["bytes=5000-10000", "bytes=2048-", "bytes=-0"];
    let invalid = ["bytes=500-0", "bytes=a-b", "bytes=", "bytes=0-1;2-3", "bytes", "500-1499", ""];
    for range in not_there.into_iter().chain(invalid) {
        let reply = alice.send("GET", &path, &[("range", range)], "").await;
        assert_oci_error(&reply, 416, "RANGE_INVALID");
        assert_eq!(reply.header("content-range"), "bytes */2048", "{range:?}");
    }
    let other_unit = alice.send("GET", &path, &[("range", "items=0-1")], "").await;
    assert!(other_unit.status == 200 && other_unit.body == content, "another unit is ignored");
}

#[tokio::test]
async fn many_ranges_one_part_each_in_order() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let content = layer(4, 600_000);
    let path = format!("/v2/a/blobs/{}", alice.push_blob("a", &content).await);
    let reply = alice.send("GET", &path, &[("range", "bytes=300000-599999,0-0, 5-9,-1")], "").await;
    assert_eq!(reply.status, 206);
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    assert!(reply.find("content-range").is_none());
    let boundary = reply.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut expected = Vec::new();
    for (first, last) in [(300_000, 599_999), (0, 0), (5, 9), (599_999, 599_999)] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {first}-{last}/600000\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&content[first..=last]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(reply.body == expected);
}

#[tokio::test]
async fn conditions() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let digest = alice.push_blob("a", b"0123456789").await;
    let (path, tag) = (format!("/v2/a/blobs/{digest}"), format!("\"{digest}\""));
    for value in [tag.as_str(), digest.as_str(), "*"] {
        for method in ["GET", "HEAD"] {
            let reply = alice.send(method, &path, &[("if-none-match", value)], "").await;
            assert_eq!((reply.status, reply.body.len()), (304, 0));
            assert_eq!(reply.header("etag"), tag);
        }
    }
    let part = |if_range: String| {
        let (alice, path) = (alice.clone(), path.clone());
        async move { alice.send("GET", &path, &[("range", "bytes=0-1"), ("if-range", &if_range)], "").await }
    };
    assert_eq!(part(tag.clone()).await.status, 206);
    let whole = part("\"other\"".to_owned()).await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, &b"0123456789"[..]));
}

#[tokio::test]
async fn deleting_in_one_repository_leaves_the_other_its_blob() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let digest = alice.push_blob("a", b"shared").await;
    alice.push_blob("b", b"shared").await;
    let reply = alice.delete(&format!("/v2/a/blobs/{digest}")).await;
    assert_eq!((reply.status, reply.header("content-length")), (202, "0"));
    assert_eq!(alice.head(&format!("/v2/a/blobs/{digest}")).await.status, 404);
    assert_eq!(alice.get(&format!("/v2/b/blobs/{digest}")).await.body, b"shared");
    assert_oci_error(&alice.delete(&format!("/v2/a/blobs/{digest}")).await, 404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn a_registry_that_does_not_delete_says_405() {
    let config = pakhuis::registry::Config { delete_enabled: false, ..Default::default() };
    let registry = TestRegistry::start_with(config, pakhuis::api::Limits::default());
    let alice = registry.as_user("alice");
    let digest = alice.push_blob("a", b"x").await;
    let reply = alice.delete(&format!("/v2/a/blobs/{digest}")).await;
    assert_oci_error(&reply, 405, "UNSUPPORTED");
    assert!(!reply.header("allow").contains("DELETE"));
    assert_eq!(alice.head(&format!("/v2/a/blobs/{digest}")).await.status, 200);
}
