//! The images that are pushed.

use std::io::Read as _;

use serde_json::json;

use crate::random::Random;
use crate::support::{Api, pseudo_random, sha256};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image of 1 to 4 layers of 1 to 200 kB. All of it follows from the seed, so the journal stays small.
#[derive(Clone)]
pub(super) struct Image {
    seed: u64,
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) manifest: Vec<u8>,
    /// Of the layers, then of the configuration.
    digests: Vec<String>,
}

impl Image {
    pub(super) fn new(repository: String, seed: u64) -> Self {
        let blobs = Self::blobs(seed);
        let descriptor = |media_type: &str, bytes: &Vec<u8>| json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() });
        let (config, layers) = blobs.split_last().expect("at least the configuration");
        let layer_type = "application/vnd.oci.image.layer.v1.tar";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": layers.iter().map(|layer| descriptor(layer_type, layer)).collect::<Vec<_>>(),
        });
        Self {
            seed,
            repository,
            tag: format!("image-{seed:x}"),
            manifest: manifest.to_string().into_bytes(),
            digests: blobs.iter().map(|bytes| sha256(bytes)).collect(),
        }
    }

    /// The layers, then the configuration.
    pub(super) fn blobs(seed: u64) -> Vec<Vec<u8>> {
        let mut random = Random(seed);
        let config = json!({ "architecture": "amd64", "os": "linux", "seed": seed }).to_string().into_bytes();
        let layers = (0..=random.next() % 4).map(|_| {
            let mut bytes = Vec::new();
            let length = 1_000 + random.next() % 199_000;
            pseudo_random(random.next()).take(length).read_to_end(&mut bytes).expect("endless bytes");
            bytes
        });
        layers.collect::<Vec<_>>().into_iter().chain([config]).collect()
    }

    /// `Ok` once the registry has acknowledged the manifest under its own tag and under `latest`.
    /// An answer of an error is never right here: a server is alive and acknowledges, or it is dead.
    pub(super) async fn push(&self, api: &Api) -> Result<(), reqwest::Error> {
        for (number, (digest, blob)) in self.digests.iter().zip(Self::blobs(self.seed)).enumerate() {
            let answer = if number % 2 == 0 {
                api.upload(&self.repository, digest, blob).await?
            } else {
                api.upload_at_once(&self.repository, digest, blob).await?
            };
            assert_eq!(answer.status, 201, "{} {digest}: {:?}", self.repository, answer.body);
        }
        for tag in [self.tag.as_str(), "latest"] {
            let answer = api.put_manifest(&self.repository, tag, MANIFEST, self.manifest.clone()).await?;
            assert_eq!(answer.status, 201, "{}:{tag}: {:?}", self.repository, answer.body);
        }
        Ok(())
    }

    /// Whether it is there: then all of it must be, byte for byte.
    pub(super) async fn is_whole(&self, api: &Api) -> bool {
        let path = format!("/v2/{}/manifests/{}", self.repository, self.tag);
        let answer = api.get(&path).await;
        if answer.status == 404 {
            return false;
        }
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        assert!(answer.body == self.manifest, "{path} is not what was pushed");
        for digest in &self.digests {
            let path = format!("/v2/{}/blobs/{digest}", self.repository);
            let answer = api.get(&path).await;
            assert_eq!(answer.status, 200, "{path} of a visible manifest");
            assert_eq!(sha256(&answer.body), *digest, "{path} is not what was pushed");
        }
        true
    }
}
