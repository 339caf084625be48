//! Referrers: what refers to a manifest, whether or not that is there.

use pakhuis::oci::media_type;
use serde_json::{Value, json};

use crate::support::{Image, TestRegistry, assert_oci_error, image, index};

const ZEROS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn referring(image: Image, subject: &Image) -> Image {
    let subject = json!({
        "mediaType": subject.media_type, "digest": subject.digest().as_str(), "size": subject.manifest.len()
    });
    image.with(&json!({ "subject": subject }))
}

fn entry(image: &Image, artifact_type: Option<&str>, annotations: Option<Value>) -> Value {
    let mut entry = json!({
        "mediaType": image.media_type, "digest": image.digest().as_str(), "size": image.manifest.len()
    });
    if let Some(artifact_type) = artifact_type {
        entry["artifactType"] = json!(artifact_type);
    }
    if let Some(annotations) = annotations {
        entry["annotations"] = annotations;
    }
    entry
}

#[tokio::test]
async fn any_digest_in_any_repository_has_a_list() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    alice.push("known", "latest", &image(1)).await;
    let sha512 = format!("sha512:{}", "0".repeat(128));
    for path in [
        format!("/v2/never/seen/referrers/{ZEROS}"),
        format!("/v2/known/referrers/{ZEROS}"),
        format!("/v2/known/referrers/{}", image(1).digest()),
        format!("/v2/known/referrers/{sha512}"),
    ] {
        let reply = alice.get(&path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("content-type"), media_type::OCI_INDEX);
        assert_eq!(
            reply.json(),
            json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] })
        );
        assert_eq!((reply.find("oci-filters-applied"), reply.find("link")), (None, None));
    }
    assert_oci_error(&alice.get("/v2/known/referrers/sha256:bad").await, 400, "DIGEST_INVALID");
    assert_oci_error(&alice.get("/v2/known/referrers/latest").await, 400, "DIGEST_INVALID");
    let reply = alice.get(&format!("/v2/known/referrers/{ZEROS}?last=x")).await;
    assert_oci_error(&reply, 400, "DIGEST_INVALID");
}

#[tokio::test]
async fn the_artifact_type_is_the_manifest_s_else_the_configuration_s_else_none() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let subject = image(1);
    let notes = json!({ "org.example.note": "hello" });
    let typed = referring(image(2), &subject)
        .with(&json!({ "artifactType": "application/vnd.example+json", "annotations": notes }));
    let untyped = referring(image(3), &subject);
    let listed = referring(index(&[]), &subject);
    for (tag, image) in [("typed", &typed), ("untyped", &untyped), ("listed", &listed)] {
        let reply = alice.push("a", tag, image).await;
        assert_eq!(reply.header("oci-subject"), subject.digest().as_str());
    }
    let path = format!("/v2/a/referrers/{}", subject.digest());
    let all = alice.get(&path).await.json();
    let all = all["manifests"].as_array().unwrap();
    assert_eq!(all.len(), 3);
    for expected in [
        entry(&typed, Some("application/vnd.example+json"), Some(notes)),
        entry(&untyped, Some(media_type::OCI_CONFIG), None),
        entry(&listed, None, None),
    ] {
        assert!(all.contains(&expected), "{expected} is not in {all:?}");
    }
    // As Go encodes it, and as curl sends it.
    for artifact_type in ["application%2Fvnd.example%2Bjson", "application/vnd.example+json"] {
        let reply = alice.get(&format!("{path}?artifactType={artifact_type}")).await;
        assert_eq!(reply.header("oci-filters-applied"), "artifactType");
        let found = reply.json();
        assert_eq!(found["manifests"][0]["digest"], typed.digest().as_str());
        assert_eq!(found["manifests"].as_array().unwrap().len(), 1);
    }
    let none = alice.get(&format!("{path}?artifactType=no/such")).await;
    assert_eq!((none.status, none.json()["manifests"].clone()), (200, json!([])));
    assert_eq!(none.header("oci-filters-applied"), "artifactType");
}

#[tokio::test]
async fn a_deleted_referrer_is_gone_from_the_list() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let (subject, referrer) = (image(1), referring(image(2), &image(1)));
    alice.push("a", "signature", &referrer).await;
    let path = format!("/v2/a/referrers/{}", subject.digest());
    assert_eq!(alice.get(&path).await.json()["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(alice.delete(&format!("/v2/a/manifests/{}", referrer.digest())).await.status, 202);
    assert_eq!(alice.get(&path).await.json()["manifests"], json!([]));
}

#[tokio::test]
async fn a_long_list_comes_in_pages_below_what_clients_read() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    let subject = image(1);
    let long = "x".repeat(1_500_000);
    let mut pushed = Vec::new();
    for seed in 2..8 {
        let annotations = json!({ "artifactType": "a/b", "annotations": { "long": long } });
        let referrer = referring(image(seed), &subject).with(&annotations);
        alice.push("a", &format!("s{seed}"), &referrer).await;
        pushed.push(referrer.digest().to_string());
    }
    pushed.sort_unstable();
    let mut next = Some(format!("/v2/a/referrers/{}?artifactType=a/b", subject.digest()));
    let (mut found, mut pages) = (Vec::new(), 0);
    while let Some(path) = next {
        let reply = alice.get(&path).await;
        assert_eq!(reply.header("oci-filters-applied"), "artifactType");
        assert!(reply.body.len() <= 4 << 20, "{} bytes", reply.body.len());
        for entry in reply.json()["manifests"].as_array().unwrap() {
            found.push(entry["digest"].as_str().unwrap().to_owned());
        }
        next = reply.next_page();
        pages += 1;
    }
    found.sort_unstable();
    assert_eq!(found, pushed);
    assert!(pages > 1);
}
