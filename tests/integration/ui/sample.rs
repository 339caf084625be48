//! What is stored for the pages to show: plain, multi-platform, artifact, and hostile.

use bytes::Bytes;
use futures_util::stream;
use pakhuis::{
    oci::{Algorithm, Digest, Reference, RepositoryName, Tag},
    registry::{BodyError, Config, Registry},
    storage::{self, Storage},
};
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Tries to become part of the page, in every way a value is shown.
pub(crate) const ATTACK: &str =
    "\"'><script>window.owned=1</script><img src=x onerror=window.owned=1>{{7*7}}\u{202e}gpj";

pub(crate) struct Sample {
    pub(crate) registry: Registry,
    pub(crate) directory: tempfile::TempDir,
}

impl Sample {
    pub(crate) fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(storage::Config::new(directory.path().join("volume"))).unwrap();
        Self { registry: Registry::new(storage, Config::default()), directory }
    }

    /// Another server of the same volume, which knows nothing yet.
    pub(crate) fn other_server(&self) -> Registry {
        self.server_with(|_| {})
    }

    /// Waits until a server has read all repositories, so that counts are whole on a busy machine too.
    pub(crate) async fn settle(registry: &Registry) {
        while registry.catalogue().await.unwrap().rows().iter().any(|row| row.facts.is_none()) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Another server of the same volume with another configuration.
    pub(crate) fn server_with(&self, change: impl FnOnce(&mut Config)) -> Registry {
        let storage = Storage::open(storage::Config::new(self.directory.path().join("volume"))).unwrap();
        let mut config = Config::default();
        change(&mut config);
        Registry::new(storage, config)
    }

    /// The files of the summaries on the volume.
    pub(crate) fn summaries(&self) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut waiting = vec![self.directory.path().join("volume/docker/registry/v2/.pakhuis/summaries")];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { waiting.push(path) } else { found.push(path) }
            }
        }
        found
    }

    /// `team/app` with `v1`, `multi` and an SBOM, `hostile/app:v1`, and `big` with 120 tags.
    pub(crate) async fn stored() -> Self {
        let sample = Self::empty();
        sample.image("team/app", Some("v1"), "amd64", "v1", json!({})).await;
        sample.image("tool", Some("1.0"), "amd64", "tool", json!({})).await;
        sample.multi_platform().await;
        let labels =
            json!({ ATTACK: ATTACK, "url": "https://example.org/", "script": "javascript:window.owned=1" });
        let hostile = json!({
            "os": ATTACK, "architecture": ATTACK, "author": ATTACK,
            "config": { "Labels": labels, "Env": [ATTACK], "Cmd": [ATTACK], "Entrypoint": [ATTACK], "User": ATTACK,
                "WorkingDir": ATTACK, "ExposedPorts": { ATTACK: {} }, "Volumes": { ATTACK: {} } },
            "history": [{ "created_by": ATTACK, "comment": ATTACK }, { "created_by": ATTACK.repeat(40) }],
        });
        sample.image("hostile/app", Some("v1"), "amd64", "hostile", hostile).await;
        let layer = sample.blob("hostile/app", ATTACK, b"file", Some(ATTACK)).await;
        let artifact = sample.artifact("hostile/app", ATTACK, layer, None).await;
        sample.manifest("hostile/app", Some("artifact"), &artifact).await;
        let image = sample.image("big", Some("t000"), "amd64", "big", json!({})).await;
        let tags: Vec<Tag> = (1..120).map(|number| format!("t{number:03}").parse().unwrap()).collect();
        let digest = Reference::Digest(image["digest"].as_str().unwrap().parse().unwrap());
        let name = "big".parse().unwrap();
        let manifest = sample.registry.manifest(&name, &digest).await.unwrap();
        sample.registry.put_manifest(&name, &digest, &tags, None, manifest.bytes, drop).await.unwrap();
        sample
    }

    async fn multi_platform(&self) {
        let amd64 = self.image("team/app", None, "amd64", "multi", json!({})).await;
        let arm64 = self.image("team/app", None, "arm64", "multi", json!({ "variant": "v8" })).await;
        let layer = self.blob("team/app", "application/vnd.in-toto+json", b"{}", None).await;
        let attestation = self.artifact("team/app", "", layer, None).await;
        let attestation = self.manifest("team/app", None, &attestation).await;
        let entry = |descriptor: &Value, platform: Value, annotations: Value| {
            let mut entry = descriptor.clone();
            entry["platform"] = platform;
            entry["annotations"] = annotations;
            entry
        };
        let about = json!({ "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": amd64["digest"] });
        let unknown = json!({ "os": "unknown", "architecture": "unknown" });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
            entry(&amd64, json!({ "os": "linux", "architecture": "amd64" }), Value::Null),
            entry(&arm64, json!({ "os": "linux", "architecture": "arm64", "variant": "v8" }), Value::Null),
            entry(&attestation, unknown, about),
        ] });
        let index = self.manifest("team/app", Some("multi"), &index).await;
        let layer = self.blob("team/app", "application/spdx+json", b"sbom", Some("sbom.json")).await;
        let sbom = self.artifact("team/app", "application/spdx+json", layer, Some(index)).await;
        self.manifest("team/app", None, &sbom).await;
    }

    pub(crate) async fn image(
        &self,
        name: &str,
        tag: Option<&str>,
        architecture: &str,
        salt: &str,
        extra: Value,
    ) -> Value {
        let mut config = json!({
            "os": "linux", "architecture": architecture, "created": "2026-01-02T03:04:05Z",
            "config": { "Cmd": ["serve"], "Env": ["A=b"], "Labels": { "team": "x" } },
            "history": [{ "created_by": "/bin/sh -c #(nop) ADD file in /" }, { "created_by": "CMD", "empty_layer": true }],
        });
        if let (Value::Object(config), Value::Object(extra)) = (&mut config, extra) {
            config.extend(extra);
        }
        let config = self.blob(name, CONFIG, config.to_string().as_bytes(), None).await;
        let base = self.blob(name, LAYER, b"base", None).await;
        let top = self.blob(name, LAYER, format!("{salt}{architecture}").as_bytes(), None).await;
        let annotations = if name.starts_with("hostile") {
            json!({ ATTACK: ATTACK, "org.opencontainers.image.source": "javascript:window.owned=1" })
        } else {
            json!({})
        };
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [base, top],
            "annotations": annotations });
        self.manifest(name, tag, &manifest).await
    }

    pub(crate) async fn artifact(
        &self,
        name: &str,
        artifact_type: &str,
        layer: Value,
        subject: Option<Value>,
    ) -> Value {
        let config = self.blob(name, CONFIG, b"{}", None).await;
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type, "config": config,
            "layers": [layer], "subject": subject })
    }

    pub(crate) async fn blob(
        &self,
        name: &str,
        media_type: &str,
        bytes: &[u8],
        title: Option<&str>,
    ) -> Value {
        let name: RepositoryName = name.parse().unwrap();
        let digest = Digest::of(Algorithm::Sha256, bytes);
        let upload = self.registry.start_upload(&name, Algorithm::Sha256).await.unwrap();
        let body = stream::iter([Ok::<_, BodyError>(Bytes::copy_from_slice(bytes))]);
        self.registry.commit_upload(&name, &upload, None, body, &digest, drop).await.unwrap();
        let annotations = title.map(|title| json!({ "org.opencontainers.image.title": title }));
        json!({ "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len(), "annotations": annotations })
    }

    pub(crate) async fn manifest(&self, name: &str, tag: Option<&str>, manifest: &Value) -> Value {
        let bytes = Bytes::from(manifest.to_string());
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let reference = match tag {
            Some(tag) => Reference::Tag(tag.parse().unwrap()),
            None => Reference::Digest(digest.clone()),
        };
        let (name, size) = (name.parse().unwrap(), bytes.len());
        self.registry.put_manifest(&name, &reference, &[], None, bytes, drop).await.unwrap();
        json!({ "mediaType": manifest["mediaType"], "digest": digest.as_str(), "size": size })
    }
}
