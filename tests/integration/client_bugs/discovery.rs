//! Listings, referrers and errors.

use pakhuis::{api::Limits, oci::media_type, registry};
use serde_json::{Value, json};

use crate::support::{TestRegistry, assert_oci_error, descriptor, image, index};

const ZEROS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// 18 harbor#19690, ggcr#1760: clients compare the type byte by byte.
#[tokio::test]
async fn bug_18_the_type_of_referrers() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("known", "latest", &image(1)).await;
    for repository in ["known", "unknown"] {
        let reply = alice.get(&format!("/v2/{repository}/referrers/{ZEROS}")).await;
        assert_eq!((reply.status, reply.all("content-type")), (200, vec![media_type::OCI_INDEX]));
        assert_eq!(reply.json()["manifests"], json!([]));
    }
}

/// 19 oras#1127: the artifact type, else the configuration's type, else none.
#[tokio::test]
async fn bug_19_the_artifact_type_of_a_referrer() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let subject = json!({ "subject": descriptor(media_type::OCI_MANIFEST, &image(1).manifest) });
    let typed = image(2).with(&subject).with(&json!({ "artifactType": "application/x.typed" }));
    for (tag, referrer) in [("a", &typed), ("b", &image(3).with(&subject)), ("c", &index(&[]).with(&subject))]
    {
        alice.push("a", tag, referrer).await;
    }
    let body = alice.get(&format!("/v2/a/referrers/{}", image(1).digest())).await.json();
    let mut types: Vec<&Value> =
        body["manifests"].as_array().unwrap().iter().map(|entry| &entry["artifactType"]).collect();
    types.sort_by_key(|value| value.to_string());
    assert_eq!(types, [&json!(media_type::OCI_CONFIG), &json!("application/x.typed"), &Value::Null]);
}

/// 20 oras-go#633: a browser's headers change nothing.
#[tokio::test]
async fn bug_20_no_answer_is_a_page_or_leads_to_one() {
    let registry = TestRegistry::start();
    let browser = [("accept", "text/html,application/xhtml+xml"), ("user-agent", "Mozilla/5.0")];
    for path in ["/v2", "/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/x", "/v2/a/b"] {
        for client in [registry.anonymous(), registry.as_user("alice")] {
            let reply = client.send("GET", path, &browser, "").await;
            assert!(!(300..400).contains(&reply.status), "{path}");
            assert_eq!(reply.header("content-type"), "application/json");
        }
    }
}

/// 25 distribution#1186, skopeo#2409, #2346: tags are a list of tags, never null.
#[tokio::test]
async fn bug_25_a_repository_without_tags_has_an_empty_list() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("a", image(1).digest().as_str(), &image(1)).await;
    assert_eq!(alice.get("/v2/a/tags/list").await.json(), json!({ "name": "a", "tags": [] }));
    alice.push("a", "only", &image(1)).await;
    assert_eq!(alice.get("/v2/a/tags/list").await.json()["tags"], json!(["only"]));
    alice.delete("/v2/a/manifests/only").await;
    assert_eq!(alice.get("/v2/a/tags/list").await.json()["tags"], json!([]));
}

/// 26 nexus-public#209, renovate#15080, ggcr#1091: links lead through all tags, and a large `n` is no error.
#[tokio::test]
async fn bug_26_links_lead_to_the_end() {
    let registry =
        TestRegistry::start_with(registry::Config::default(), Limits { tags_page: 7, ..Limits::default() });
    let alice = registry.as_user("alice");
    let empty = index(&[]);
    let mut tags: Vec<String> = (0..30).map(|i| format!("v1.{i}-rc_{i}")).collect();
    for tag in &tags {
        alice.push("a", tag, &empty).await;
    }
    tags.sort_unstable();
    for n in ["1", "7", "10000", "100000000000000000000"] {
        let (mut found, mut next) = (Vec::new(), Some(format!("/v2/a/tags/list?n={n}")));
        while let Some(path) = next {
            let reply = alice.get(&path).await;
            assert!(reply.all("link").len() <= 1);
            let body = reply.json();
            found.extend(body["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()));
            next = reply.next_page();
        }
        assert_eq!(found, tags, "n={n}");
    }
}

/// 33 trow#264, gitea#25832: a body that does not parse hides the error from the user.
#[tokio::test]
async fn bug_33_every_error_parses() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("a", "latest", &image(1)).await;
    let upload = "/v2/a/blobs/uploads/936da01f-9abd-4d9d-80c7-02af85c822a8";
    let (blob, commit) = (format!("/v2/a/blobs/{ZEROS}"), format!("{upload}?digest={ZEROS}"));
    let other = format!("/v2/a/manifests/{ZEROS}");
    for (method, path, status, code) in [
        ("GET", "/v2/x/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/x/manifests/latest", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/a/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", &other, 404, "MANIFEST_UNKNOWN"),
        ("PUT", &other, 400, "DIGEST_INVALID"),
        ("DELETE", "/v2/a/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", &blob, 404, "BLOB_UNKNOWN"),
        ("DELETE", &blob, 404, "BLOB_UNKNOWN"),
        ("GET", upload, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", upload, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", &commit, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", upload, 400, "DIGEST_INVALID"),
        ("DELETE", upload, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("GET", "/v2/a/referrers/x", 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/x", 404, "UNSUPPORTED"),
        ("PATCH", "/v2/a/manifests/x", 405, "UNSUPPORTED"),
    ] {
        let body = if path == other { image(1).manifest } else { Vec::new() };
        let headers = [("content-type", media_type::OCI_MANIFEST)];
        assert_oci_error(&alice.send(method, path, &headers, body).await, status, code);
    }
}
