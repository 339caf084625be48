//! Content to push, all of it from a seed: blobs, image manifests, an index, a referrer.

use bytes::Bytes;
use pakhuis::oci::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::random::Random;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Bytes with their digest.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) bytes: Bytes,
}

impl Blob {
    pub(crate) fn new(algorithm: Algorithm, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(algorithm, &bytes), bytes }
    }

    /// Bytes that nothing else has, of a length below `limit`.
    pub(crate) fn random(algorithm: Algorithm, dice: &mut Random, limit: usize) -> Self {
        let length = 8 + dice.below(limit);
        Self::new(algorithm, dice.bytes(length))
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest.as_str(), "size": self.bytes.len() })
    }
}

/// A manifest with what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) media_type: &'static str,
    pub(crate) manifest: Blob,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) subject: Option<Digest>,
}

impl Image {
    /// An image of some layers, the first of which is the largest.
    pub(crate) fn random(algorithm: Algorithm, dice: &mut Random, layers: usize) -> Self {
        let layer = |number: usize| Blob::random(algorithm, dice, if number == 0 { 60_000 } else { 5_000 });
        let layers: Vec<Blob> = (0..layers).map(layer).collect();
        Self::of(algorithm, &layers, None, dice.next())
    }

    /// An image of given layers; `mark` makes it another image.
    pub(crate) fn of(algorithm: Algorithm, layers: &[Blob], subject: Option<&Self>, mark: u64) -> Self {
        let config = Blob::new(algorithm, json!({ "architecture": "amd64", "mark": mark }).to_string());
        let layer = "application/vnd.oci.image.layer.v1.tar";
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": layers.iter().map(|blob| blob.descriptor(layer)).collect::<Vec<_>>(),
        });
        if let Some(subject) = subject {
            manifest["artifactType"] = json!("application/vnd.example.signature");
            manifest["subject"] = subject.manifest.descriptor(subject.media_type);
        }
        Self {
            media_type: MANIFEST,
            manifest: Blob::new(algorithm, manifest.to_string()),
            blobs: layers.iter().cloned().chain([config]).collect(),
            subject: subject.map(|subject| subject.manifest.digest.clone()),
        }
    }

    /// An index of images.
    pub(crate) fn index(of: &[&Self]) -> Self {
        let entries: Vec<_> = of.iter().map(|image| image.manifest.descriptor(image.media_type)).collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        let manifest = Blob::new(Algorithm::Sha256, index.to_string());
        Self { media_type: INDEX, manifest, blobs: Vec::new(), subject: None }
    }
}
