//! Images whose every byte follows from a number.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

use crate::random::Random;

/// The type of the manifests.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An OCI image of a configuration and one layer.
#[derive(Clone)]
pub(crate) struct Image {
    /// Layer, then configuration.
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    /// Other numbers, other images. `subject` is a manifest that this one refers to.
    pub(crate) fn new(number: u64, layer_size: usize, subject: Option<&[u8]>) -> Self {
        let layer = bytes(number, layer_size);
        let config =
            json!({ "architecture": "amd64", "os": "linux", "number": number }).to_string().into_bytes();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        if let Some(subject) = subject {
            manifest["subject"] = descriptor(MANIFEST, subject);
        }
        Self { blobs: vec![layer, config], manifest: manifest.to_string().into_bytes() }
    }

    pub(crate) fn layer(&self) -> &[u8] {
        &self.blobs[0]
    }

    pub(crate) fn digest(&self) -> String {
        sha256(&self.manifest)
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() })
}

/// Bytes that follow from a number.
pub(crate) fn bytes(number: u64, size: usize) -> Vec<u8> {
    Random(number).bytes(size)
}

/// `sha256:` and the digest of the bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex("sha256:", &Sha256::digest(bytes))
}

/// `sha512:` and the digest of the bytes.
pub(crate) fn sha512(bytes: &[u8]) -> String {
    hex("sha512:", &Sha512::digest(bytes))
}

fn hex(prefix: &str, digest: &[u8]) -> String {
    digest.iter().fold(prefix.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
