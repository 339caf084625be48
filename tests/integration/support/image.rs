//! Artefacts to push.

use pakhuis::oci::{Algorithm, Digest, media_type};
use serde_json::{Value, json};

use super::{Client, Reply};

/// A manifest with the blobs it needs.
pub(crate) struct Image {
    pub(crate) media_type: &'static str,
    pub(crate) manifest: Vec<u8>,
    pub(crate) blobs: Vec<Vec<u8>>,
}

impl Image {
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(Algorithm::Sha256, &self.manifest)
    }

    /// The manifest with other fields over it.
    pub(crate) fn with(mut self, fields: &Value) -> Self {
        let mut manifest: Value = serde_json::from_slice(&self.manifest).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            manifest[name] = value.clone();
        }
        self.manifest = serde_json::to_vec(&manifest).unwrap();
        self
    }
}

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> Value {
    let digest = Digest::of(Algorithm::Sha256, content);
    json!({ "mediaType": media_type, "digest": digest.as_str(), "size": content.len() })
}

/// The content of a layer; other numbers, other content.
pub(crate) fn layer(seed: u8, size: usize) -> Vec<u8> {
    let mut state = u32::from(seed).wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// An OCI image of two layers; other numbers, other images.
pub(crate) fn image(seed: u8) -> Image {
    let config = format!(r#"{{"architecture":"amd64","os":"linux","seed":{seed}}}"#).into_bytes();
    let layers = [layer(seed, 1000), layer(seed.wrapping_add(100), 70_000)];
    let layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, &config),
        "layers": layers.each_ref().map(|layer| descriptor(layer_type, layer)),
    });
    let [first, second] = layers;
    let manifest = serde_json::to_vec_pretty(&manifest).unwrap();
    Image { media_type: media_type::OCI_MANIFEST, manifest, blobs: vec![config, first, second] }
}

/// An OCI index of what the descriptors name.
pub(crate) fn index(manifests: &[Value]) -> Image {
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests });
    let manifest = serde_json::to_vec(&index).unwrap();
    Image { media_type: media_type::OCI_INDEX, manifest, blobs: Vec::new() }
}

/// An upload, written to as clients do.
pub(crate) struct Upload<'a> {
    client: Client<'a>,
    pub(crate) location: String,
}

impl<'a> Upload<'a> {
    pub(crate) async fn start(client: &Client<'a>, repository: &str) -> Self {
        Self { client: client.clone(), location: client.start_upload(repository).await }
    }

    pub(crate) async fn patch(&self, range: Option<&str>, content: &[u8]) -> Reply {
        let headers: Vec<(&str, &str)> = range.map(|range| ("content-range", range)).into_iter().collect();
        self.client.send("PATCH", &self.location, &headers, content.to_vec()).await
    }

    pub(crate) async fn put(&self, content: &[u8], digest: &Digest) -> Reply {
        let path = format!("{}?digest={digest}", self.location);
        self.client.send("PUT", &path, &[], content.to_vec()).await
    }

    pub(crate) async fn status(&self) -> Reply {
        self.client.get(&self.location).await
    }

    pub(crate) async fn cancel(&self) -> Reply {
        self.client.delete(&self.location).await
    }
}
