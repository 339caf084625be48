//! Uploads, downloads, locations, and the login before them.

use pakhuis::oci::{Algorithm, Digest};

use crate::support::{TestRegistry, Upload, assert_oci_error, image, layer};

fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// What docker reads out of `Range` with `%d-%d`.
fn docker_range(range: &str) -> (u64, u64) {
    let (start, end) = range.split_once('-').unwrap();
    (start.parse().unwrap(), end.parse().unwrap())
}

/// 1 gitea#34724, 2 gitea#34792, 3 artifact-keeper#1349: docker writes the `Range` of the PATCH into the
/// manifest, as the size of the layer.
#[tokio::test]
async fn bugs_1_2_3_docker_computes_the_size_of_a_layer_from_the_range() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    for size in [1, 2, 700_000] {
        let started = alice.post("/v2/a/blobs/uploads/").await;
        assert_eq!(docker_range(started.header("range")), (0, 0));
        let reply = alice.send("PATCH", started.header("location"), &[], layer(1, size)).await;
        assert_eq!(reply.status, 202);
        let (start, end) = docker_range(reply.header("range"));
        assert_eq!((start, usize::try_from(end - start + 1).unwrap()), (0, size));
        assert_eq!(reply.header("docker-upload-uuid"), started.header("docker-upload-uuid"));
        assert_eq!(reply.header("content-length"), "0");
    }
    let empty = Upload::start(&alice, "a").await;
    assert_eq!(empty.patch(None, b"").await.header("range"), "0-0");
    assert_eq!(empty.status().await.header("range"), "0--1");
}

/// 4 regclient#961, regclient#627: the range is cumulative. 5 oras-py#43: the first location stays good.
#[tokio::test]
async fn bugs_4_5_three_chunks_to_the_first_location() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let content = layer(2, 3067);
    let upload = Upload::start(&alice, "a").await;
    for (range, part, sum) in [
        ("0-1023", &content[..1024], "0-1023"),
        ("1024-2047", &content[1024..2048], "0-2047"),
        ("2048-3066", &content[2048..], "0-3066"),
    ] {
        let reply = upload.patch(Some(range), part).await;
        assert_eq!((reply.status, reply.header("range")), (202, sum));
        assert_eq!(reply.header("location"), upload.location);
        assert_eq!(upload.status().await.header("range"), sum);
    }
    let reply = upload.put(b"", &sha256(&content)).await;
    assert_eq!((reply.status, reply.header("content-length")), (201, "0"));
    assert!(alice.get(reply.header("location")).await.body == content);
}

/// 7 containerd#5124, trow#210: containerd commits an empty blob when there is no length. 8 godoxy#169: the
/// length of a HEAD is that of the blob.
#[tokio::test]
async fn bugs_7_8_a_blob_has_its_length() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    for size in [0, 1, 300_000] {
        let path = format!("/v2/a/blobs/{}", alice.push_blob("a", &layer(3, size)).await);
        let (head, get) = (alice.head(&path).await, alice.get(&path).await);
        assert_eq!(head.all("content-length"), [size.to_string()]);
        assert_eq!(get.all("content-length"), [size.to_string()]);
        assert_eq!((head.body.len(), get.body.len()), (0, size));
    }
}

/// 9 zot#3538, moby#12972: a 200 here without a login makes docker never send one.
#[tokio::test]
async fn bug_9_the_ping_asks_for_the_login() {
    let registry = TestRegistry::start();
    let reply = registry.anonymous().get("/v2/").await;
    assert_oci_error(&reply, 401, "UNAUTHORIZED");
    assert_eq!(reply.all("www-authenticate").len(), 1);
}

/// 10 distribution#996, 11 distribution#794, 12 oras-go#177: no scheme, host, port or prefix that a proxy or a
/// client made up.
#[tokio::test]
async fn bugs_10_11_12_no_forwarding_header_reaches_an_answer() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("a", "one", &image(1)).await;
    alice.push("a", "two", &image(1)).await;
    let hostile = [
        ("host", "reg.garbage.example:8443"),
        ("x-forwarded-proto", "\\garbage"),
        ("x-forwarded-host", "garbage.example"),
        ("x-forwarded-port", "garbage"),
        ("x-forwarded-prefix", "/garbage"),
        ("forwarded", "host=garbage.example;proto=garbage"),
    ];
    let digest = sha256(b"content");
    let monolithic = format!("/v2/a/blobs/uploads/?digest={digest}");
    for (method, path, body) in [
        ("POST", "/v2/a/blobs/uploads/", ""),
        ("POST", monolithic.as_str(), "content"),
        ("GET", "/v2/a/tags/list?n=1", ""),
        ("GET", "/v2/a/manifests/none", ""),
        ("GET", "/v2/a/nothing", ""),
    ] {
        let reply = alice.send(method, path, &hostile, body).await;
        for value in reply.headers.values() {
            assert!(!value.to_str().unwrap().contains("garbage"), "{method} {path}: {value:?}");
        }
        assert!(!reply.text().contains("garbage"));
        if let Some(location) = reply.find("location") {
            assert!(location.starts_with("/v2/a/blobs/"), "{location}");
        }
    }
}

/// 27 ggcr#1404, #1679, #1741: clients give up when a mount is refused.
#[tokio::test]
async fn bug_27_a_mount_that_cannot_be_done_is_a_session() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push_blob("source", b"something").await;
    let absent = sha256(b"absent");
    for query in [
        format!("mount={absent}&from=no/such/repository"),
        format!("mount={absent}&from=source"),
        format!("mount={absent}&from=Bad..Name"),
        format!("mount={absent}&from="),
        format!("mount={absent}&from=a%2Fb&origin=registry.example%3A5000"),
        format!("mount={absent}&from=source&from=other"),
        format!("mount={absent}"),
        "mount=sha256:bad&from=source".to_owned(),
        "mount=".to_owned(),
    ] {
        let reply = alice.post(&format!("/v2/target/blobs/uploads/?{query}")).await;
        assert_eq!(reply.status, 202, "{query}");
        let content = query.as_bytes();
        let path = format!("{}?digest={}", reply.header("location"), sha256(content));
        assert_eq!(alice.send("PUT", &path, &[], content.to_vec()).await.status, 201);
    }
    let present = sha256(b"something");
    let reply = alice.post(&format!("/v2/target/blobs/uploads/?mount={present}&from=no/such")).await;
    assert_eq!(reply.status, 202);
}

/// 28 oras#456, oras-go#97, containerd#5978: who cannot rewind a body must be challenged before it.
#[tokio::test]
async fn bug_28_the_first_request_of_a_push_is_challenged() {
    let registry = TestRegistry::start();
    let stranger = registry.anonymous();
    assert_eq!(stranger.head(&format!("/v2/a/blobs/{}", sha256(b""))).await.status, 401);
    assert_eq!(stranger.head("/v2/a/manifests/latest").await.status, 401);
    assert_oci_error(&stranger.post("/v2/a/blobs/uploads/").await, 401, "UNAUTHORIZED");
}

/// 32 distribution#4458: browsers send no credentials with a preflight.
#[tokio::test]
async fn bug_32_a_preflight_is_answered_without_a_login() {
    let registry = TestRegistry::start();
    assert_eq!(registry.anonymous().send("OPTIONS", "/v2/_catalog", &[], "").await.status, 204);
}

/// 34 quay#1310: what is stored goes out as it is, whatever encodings are offered.
#[tokio::test]
async fn bug_34_nothing_is_ever_encoded() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let content = vec![b'a'; 100_000];
    let digest = alice.push_blob("a", &content).await;
    alice.push("a", "latest", &image(1)).await;
    for path in [format!("/v2/a/blobs/{digest}"), "/v2/a/manifests/latest".to_owned()] {
        let plain = alice.get(&path).await;
        let headers = [("accept-encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5, br")];
        let reply = alice.send("GET", &path, &headers, "").await;
        assert!(reply.body == plain.body && reply.find("content-encoding").is_none());
        assert_eq!(reply.header("content-length"), plain.body.len().to_string());
    }
}
