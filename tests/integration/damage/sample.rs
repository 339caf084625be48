//! A small volume with every kind of file, as a client pushes it, asks for it and pushes it again.

use std::time::Duration;

use pakhuis::{
    oci::{Algorithm, Digest, media_type},
    registry::verification::{Finding, Options, Repairs, Report},
};
use serde_json::json;

use crate::support::{Client, TestRegistry, layer};

pub(super) const REPOSITORY: &str = "team/app";

struct PushedManifest {
    references: Vec<String>,
    media_type: &'static str,
    bytes: Vec<u8>,
}

/// An image, an index of it, a referrer of it, and an image whose layer and manifest are by sha512.
pub(super) struct Sample {
    blobs: Vec<(Digest, Vec<u8>)>,
    manifests: Vec<PushedManifest>,
    subject: Digest,
}

impl Sample {
    pub(super) fn new() -> Self {
        let mut blobs = Vec::new();
        let mut blob = |algorithm, content: Vec<u8>, media_type: &str| {
            let digest = Digest::of(algorithm, &content);
            let described =
                json!({ "mediaType": media_type, "digest": digest.as_str(), "size": content.len() });
            blobs.push((digest, content));
            described
        };
        let layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        let config = blob(Algorithm::Sha256, br#"{"architecture":"amd64"}"#.to_vec(), media_type::OCI_CONFIG);
        let layers = [
            blob(Algorithm::Sha256, layer(1, 50), layer_type),
            blob(Algorithm::Sha256, layer(2, 400), layer_type),
        ];
        let empty = blob(Algorithm::Sha256, b"{}".to_vec(), media_type::OCI_EMPTY);
        let long = blob(Algorithm::Sha512, layer(3, 60), layer_type);
        let image = |config: &serde_json::Value, layers: serde_json::Value| json!({ "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layers });
        let describe = |bytes: &[u8], algorithm| {
            let digest = Digest::of(algorithm, bytes);
            json!({ "mediaType": media_type::OCI_MANIFEST, "digest": digest.as_str(), "size": bytes.len() })
        };
        let first = serde_json::to_vec(&image(&config, json!(layers))).unwrap();
        let long_image = serde_json::to_vec(&image(&config, json!([long]))).unwrap();
        let mut referring = image(&empty, json!([empty]));
        referring["subject"] = describe(&first, Algorithm::Sha256);
        referring["artifactType"] = json!("text/signature");
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": [describe(&first, Algorithm::Sha256), describe(&long_image, Algorithm::Sha512)],
        });
        let referring = serde_json::to_vec(&referring).unwrap();
        let by_digest = |bytes: &[u8], algorithm| Digest::of(algorithm, bytes).to_string();
        let manifest = |references, media_type, bytes| PushedManifest { references, media_type, bytes };
        let subject = Digest::of(Algorithm::Sha256, &first);
        let manifests = vec![
            manifest(
                vec!["v1".to_owned(), by_digest(&first, Algorithm::Sha256)],
                media_type::OCI_MANIFEST,
                first,
            ),
            manifest(vec![by_digest(&long_image, Algorithm::Sha512)], media_type::OCI_MANIFEST, long_image),
            manifest(vec![by_digest(&referring, Algorithm::Sha256)], media_type::OCI_MANIFEST, referring),
            manifest(vec!["multi".to_owned()], media_type::OCI_INDEX, serde_json::to_vec(&index).unwrap()),
        ];
        Self { blobs, manifests, subject }
    }

    /// Pushes as clients do: what answers `HEAD` is not sent.
    pub(super) async fn push(&self, client: &Client<'_>) {
        for (digest, content) in &self.blobs {
            if client.head(&format!("/v2/{REPOSITORY}/blobs/{digest}")).await.status == 404 {
                client.push_blob_as(REPOSITORY, content, digest).await;
            }
        }
        for manifest in &self.manifests {
            for reference in &manifest.references {
                let reply =
                    client.put_manifest(REPOSITORY, reference, manifest.media_type, &manifest.bytes).await;
                assert_eq!(reply.status, 201, "{reference}: {}", reply.text());
            }
        }
    }

    /// Asks for everything. What comes whole must be right; returns how much did not come.
    pub(super) async fn pull(&self, client: &Client<'_>) -> usize {
        let mut absent = 0;
        let blobs = self.blobs.iter().map(|(digest, content)| (format!("blobs/{digest}"), content));
        let manifests = self.manifests.iter().flat_map(|manifest| {
            let path = |reference: &String| (format!("manifests/{reference}"), &manifest.bytes);
            manifest.references.iter().map(path)
        });
        for (path, expected) in blobs.chain(manifests) {
            let (status, bytes, whole) =
                client.get_perhaps_cut(&format!("/v2/{REPOSITORY}/{path}"), &[]).await;
            match (status, whole) {
                (200, true) => assert!(bytes == *expected, "served wrong: {path}"),
                (200, false) | (404, _) => absent += 1,
                _ => panic!("{path} answers {status}"),
            }
        }
        let referrers = client.get(&format!("/v2/{REPOSITORY}/referrers/{}", self.subject)).await.json();
        let listed = referrers["manifests"].as_array().unwrap();
        let referring = &self.manifests[2].references[0];
        assert!(listed.iter().all(|entry| entry["digest"] == referring.as_str()), "{referrers}");
        absent + 1 - listed.len()
    }
}

/// Options for tests: nothing is waited for.
pub(super) fn options(repairs: Repairs) -> Options {
    Options {
        read_data: true,
        repairs,
        rate: 0,
        settle: Duration::ZERO,
        grace: Duration::ZERO,
        ..Options::default()
    }
}

pub(super) fn verify(registry: &TestRegistry, repairs: Repairs) -> Report {
    let report = registry.registry().verify(&options(repairs), &mut |_| true).unwrap();
    assert_eq!(report.errors, [""; 0]);
    report
}

pub(super) fn kinds(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.kind.as_str()).collect()
}
