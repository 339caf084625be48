//! What manifests may hold, and in which order they may come.

use pakhuis::oci::media_type;
use serde_json::{Value, json};

use crate::support::{Image, TestRegistry, assert_oci_error, descriptor, image, index, layer};

fn describe(image: &Image) -> Value {
    descriptor(image.media_type, &image.manifest)
}

/// 6 harbor#13740, serverless-registry-proxy#10: clients fail when one of the three is missing.
#[tokio::test]
async fn bug_6_the_head_of_a_manifest_has_all_three() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("a", "latest", &image(1)).await;
    for reference in ["latest".to_owned(), image(1).digest().to_string()] {
        let reply = alice.head(&format!("/v2/a/manifests/{reference}")).await;
        assert_eq!(reply.header("content-type"), media_type::OCI_MANIFEST);
        assert_eq!(reply.header("content-length"), image(1).manifest.len().to_string());
        assert_eq!(reply.header("docker-content-digest"), image(1).digest().as_str());
    }
}

/// 13 harbor#14774, buildkit#2479: BuildKit's cache is an index of blobs.
#[tokio::test]
async fn bug_13_an_index_of_layers() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let (content, config) = (layer(1, 5000), br#"{"layers":[]}"#.to_vec());
    let mut cache = index(&[
        descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &content),
        descriptor("application/vnd.buildkit.cacheconfig.v0", &config),
    ]);
    cache.blobs = vec![content.clone(), config];
    alice.push("cache", "main", &cache).await;
    let pulled = alice.get("/v2/cache/manifests/main").await.json();
    let digest = pulled["manifests"][0]["digest"].as_str().unwrap();
    assert!(alice.get(&format!("/v2/cache/blobs/{digest}")).await.body == content);
}

/// 14 buildkit#7007: the attestation comes before the image it is about.
#[tokio::test]
async fn bug_14_a_subject_that_is_not_there_yet() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let subject = image(1);
    let attestation = image(2).with(&json!({ "subject": describe(&subject), "artifactType": "a/b" }));
    let reply = alice.push("a", "attestation", &attestation).await;
    assert_eq!(reply.header("oci-subject"), subject.digest().as_str());
    let referrers = format!("/v2/a/referrers/{}", subject.digest());
    let before = alice.get(&referrers).await.json();
    alice.push("a", "image", &subject).await;
    let after = alice.get(&referrers).await.json();
    assert_eq!(before["manifests"][0]["digest"], attestation.digest().as_str());
    assert_eq!(before, after);
}

/// 15 buildx#1513: an attestation's platform is `unknown/unknown`.
#[tokio::test]
async fn bug_15_an_unknown_platform() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let statement = br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#.to_vec();
    let mut attestation =
        image(2).with(&json!({ "layers": [descriptor("application/vnd.in-toto+json", &statement)] }));
    attestation.blobs = vec![attestation.blobs.swap_remove(0), statement];
    alice.push("a", attestation.digest().as_str(), &attestation).await;
    alice.push("a", image(1).digest().as_str(), &image(1)).await;
    let mut child = describe(&attestation);
    child["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    child["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    alice.push("a", "latest", &index(&[describe(&image(1)), child])).await;
}

/// 16 gitea#26839: containerd pushes blobs, then images, then the index, into a repository never seen.
#[tokio::test]
async fn bug_16_a_first_index_in_a_new_nested_repository() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let repository = "never/seen/before/manifests/blobs";
    for platform in [image(1), image(2)] {
        alice.push(repository, platform.digest().as_str(), &platform).await;
    }
    let index = index(&[describe(&image(1)), describe(&image(2))]);
    assert_eq!(alice.head(&format!("/v2/{repository}/manifests/v1")).await.status, 404);
    alice.push(repository, "v1", &index).await;
    let pulled = alice.get(&format!("/v2/{repository}/manifests/v1")).await;
    assert_eq!(pulled.header("content-type"), media_type::OCI_INDEX);
    assert_eq!(pulled.body, index.manifest);
}

/// 17 oras-go#1396: `sha256-<hex>` is a tag like any other.
#[tokio::test]
async fn bug_17_a_tag_that_looks_like_a_digest() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("a", "latest", &image(1)).await;
    let tag = image(1).digest().as_str().replace(':', "-");
    let path = format!("/v2/a/manifests/{tag}");
    assert_oci_error(&alice.get(&path).await, 404, "MANIFEST_UNKNOWN");
    alice.push("a", &tag, &image(2)).await;
    assert_eq!(alice.get(&path).await.body, image(2).manifest);
}

/// 21 oras#738, image-spec#1025: no list of allowed configurations; no layers is fine.
#[tokio::test]
async fn bug_21_any_configuration_and_no_layers() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    for (tag, config_type, config) in [
        ("helm", "application/vnd.cncf.helm.config.v1+json", &b"{\"name\":\"x\"}"[..]),
        ("empty", media_type::OCI_EMPTY, b"{}"),
        ("random", "application/x.never.heard+of", b"\x00\x01"),
        ("nothing", "application/octet-stream", b""),
    ] {
        for layers in [json!([]), Value::Null] {
            let fields = json!({ "config": descriptor(config_type, config), "layers": layers });
            let mut artifact = image(1).with(&fields);
            artifact.blobs = vec![config.to_vec()];
            alice.push("a", tag, &artifact).await;
            assert_eq!(alice.get(&format!("/v2/a/manifests/{tag}")).await.body, artifact.manifest);
        }
    }
}

/// 22 ko#641: Docker's layer types in an OCI manifest.
#[tokio::test]
async fn bug_22_mixed_types() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let content = layer(1, 1000);
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let mut mixed = image(1).with(&json!({ "layers": [descriptor(docker, &content)] }));
    mixed.blobs.push(content);
    alice.push("a", "mixed", &mixed).await;
}

/// 23 trow#64: layers that are fetched from elsewhere are never pushed; all others must be.
#[tokio::test]
async fn bug_23_a_foreign_layer() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let absent = layer(9, 100);
    for media_type in [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        let mut foreign = descriptor(media_type, &absent);
        foreign["urls"] = json!(["https://store.example.com/layer"]);
        alice.push("a", "foreign", &image(1).with(&json!({ "layers": [foreign] }))).await;
    }
    let ordinary = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &absent);
    let missing = image(1).with(&json!({ "layers": [ordinary] }));
    let reply = alice.put_manifest("a", "missing", missing.media_type, &missing.manifest).await;
    assert_oci_error(&reply, 400, "MANIFEST_BLOB_UNKNOWN");
}

/// 24 trow#173: what HEAD says and what a manifest may name is one thing, in each repository.
#[tokio::test]
async fn bug_24_head_and_the_check_of_a_manifest_agree() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let image = image(1);
    for (there, (repository, status)) in [("b", 201), ("c", 400)].into_iter().enumerate() {
        for blob in image.blobs.iter().skip(there) {
            alice.push_blob(repository, blob).await;
        }
        if there == 1 {
            // Elsewhere is not here.
            alice.push_blob("other", &image.blobs[0]).await;
        }
        let config: Value = serde_json::from_slice(&image.manifest).unwrap();
        let digest = config["config"]["digest"].as_str().unwrap();
        let head = alice.head(&format!("/v2/{repository}/blobs/{digest}")).await.status;
        let put = alice.put_manifest(repository, "x", image.media_type, &image.manifest).await;
        assert_eq!((head == 200, put.status), (status == 201, status));
    }
}

/// 34 watchtower#728: `Accept` decides nothing. distribution#3122: a blob is no manifest, and no failure.
#[tokio::test]
async fn bug_34_accept_and_a_layer_asked_for_as_a_manifest() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("a", "latest", &image(1)).await;
    for accept in ["", "*/*", "text/html", media_type::DOCKER_MANIFEST, media_type::DOCKER_SCHEMA1, "x/;;,"] {
        let headers = [("accept", accept)];
        for method in ["HEAD", "GET"] {
            let reply = alice.send(method, "/v2/a/manifests/latest", &headers, "").await;
            assert_eq!((reply.status, reply.header("content-type")), (200, media_type::OCI_MANIFEST));
        }
    }
    let blob = descriptor("a/b", &image(1).blobs[1]);
    let path = format!("/v2/a/manifests/{}", blob["digest"].as_str().unwrap());
    assert_oci_error(&alice.get(&path).await, 404, "MANIFEST_UNKNOWN");
}
