//! Input out of grammar and over the limits: the right error, nothing stored, and the registry goes on.

use crate::support::{TestRegistry, assert_oci_error, image};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn names() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let long = "a".repeat(256);
    for name in [
        "A",
        "a/../b",
        "..",
        "a//b",
        "a%2Fb",
        "a%2f..%2fb",
        "%2e%2e",
        "a%00",
        "a.",
        "-a",
        "a:1",
        "_x",
        long.as_str(),
    ] {
        for path in [
            format!("/v2/{name}/tags/list"),
            format!("/v2/{name}/manifests/latest"),
            format!("/v2/{name}/blobs/{DIGEST}"),
            format!("/v2/{name}/referrers/{DIGEST}"),
        ] {
            assert_oci_error(&alice.get(&path).await, 400, "NAME_INVALID");
        }
        assert_oci_error(&alice.post(&format!("/v2/{name}/blobs/uploads/")).await, 400, "NAME_INVALID");
    }
    assert_eq!(alice.get("/v2/_catalog").await.json()["repositories"], serde_json::json!([]));
}

#[tokio::test]
async fn references_and_digests() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let long = "t".repeat(129);
    for tag in [".a", "-a", "a%20b", "%00", "..", long.as_str()] {
        for method in ["GET", "PUT", "DELETE"] {
            let reply = alice.send(method, &format!("/v2/a/manifests/{tag}"), &[], "{}").await;
            assert_oci_error(&reply, 400, "TAG_INVALID");
        }
    }
    for digest in
        ["sha256:baddigeststring", "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../x"]
    {
        let status = if digest.contains('/') { 404 } else { 400 };
        for path in [format!("/v2/a/manifests/{digest}"), format!("/v2/a/blobs/{digest}")] {
            let reply = alice.get(&path).await;
            assert_oci_error(&reply, status, if status == 400 { "DIGEST_INVALID" } else { "UNSUPPORTED" });
        }
    }
    for id in ["..", "x", "936DA01F-9ABD-4D9D-80C7-02AF85C822A8", "%2e%2e"] {
        let reply = alice.send("PATCH", &format!("/v2/a/blobs/uploads/{id}"), &[], "x").await;
        assert_oci_error(&reply, 404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[tokio::test]
async fn what_is_no_endpoint_and_what_is_no_method() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    for path in
        ["/v2/a", "/v2/a/b/c", "/v2/a/tags/list/", "/v2/_oci/ext/discover", "/v2//", "/v2/a/blobs/x/y"]
    {
        assert_oci_error(&alice.get(path).await, 404, "UNSUPPORTED");
    }
    for (method, path, allow) in [
        ("POST", "/v2/", "GET, HEAD"),
        ("DELETE", "/v2/a/tags/list", "GET, HEAD"),
        ("POST", "/v2/a/manifests/x", "GET, HEAD, PUT, DELETE"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("TRACE", "/v2/a/manifests/x", "GET, HEAD, PUT, DELETE"),
    ] {
        let reply = alice.send(method, path, &[], "").await;
        assert_oci_error(&reply, 405, "UNSUPPORTED");
        assert_eq!(reply.header("allow"), allow);
    }
}

#[tokio::test]
async fn manifests_that_are_none() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let deep = format!(r#"{{"schemaVersion":2,"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let truncated = image(1).manifest[..100].to_vec();
    let oci = pakhuis::oci::media_type::OCI_MANIFEST;
    for (media_type, bytes) in [
        (oci, &b""[..]),
        (oci, b"{}"),
        (oci, b"[]"),
        (oci, b"null"),
        (oci, b"\xff\xfe\x00"),
        (oci, deep.as_bytes()),
        (oci, &truncated),
        ("text/html", &image(1).manifest),
        (pakhuis::oci::media_type::OCI_INDEX, &image(1).manifest),
    ] {
        let reply = alice.put_manifest("a", "latest", media_type, bytes).await;
        assert_oci_error(&reply, 400, "MANIFEST_INVALID");
    }
    assert_eq!(alice.head("/v2/a/manifests/latest").await.status, 404);
}

#[tokio::test]
async fn headers_that_are_none() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let path = format!("/v2/a/blobs/{}", alice.push_blob("a", b"0123456789").await);
    let many = format!("bytes={}", "0-0,".repeat(257));
    for range in ["bytes", "bytes=", "bytes=a-b", "bytes=9-1", "bytes=99999999999999999999-", many.as_str()] {
        let reply = alice.send("GET", &path, &[("range", range)], "").await;
        assert_oci_error(&reply, 416, "RANGE_INVALID");
    }
    let location = alice.start_upload("a").await;
    for range in ["x", "5-1", "0-18446744073709551615", "-1", "bytes */10", ""] {
        let reply = alice.send("PATCH", &location, &[("content-range", range)], "x").await;
        assert_oci_error(&reply, 400, "RANGE_INVALID");
    }
    assert_eq!(alice.send("GET", &path, &[("range", "lines=1-2")], "").await.status, 200);
}

#[tokio::test]
async fn hostile_values_never_come_back_in_a_header() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("a", "latest", &image(1)).await;
    for query in ["last=%0d%0aSet-Cookie:%20x", "n=1&last=%3e;%20rel=x", "tag=%0d%0a", "%0d%0a=1", "=&&=&"] {
        for path in ["/v2/a/tags/list", "/v2/_catalog", "/v2/a/manifests/latest"] {
            let reply = alice.get(&format!("{path}?{query}")).await;
            assert_eq!(reply.status, 200);
            assert!(reply.find("set-cookie").is_none());
            assert!(
                reply.headers.values().all(|value| value.as_bytes().iter().all(|b| !b.is_ascii_control()))
            );
        }
    }
}
