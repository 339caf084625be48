//! Images of the load: small, and made again from their seeds when they are compared.

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::random::Random;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Seeds of the layers that many images have: different workers push the same blob at the same time.
const COMMON_LAYERS: u64 = 5;

/// A blob of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blob {
    seed: u64,
    pub(crate) size: usize,
}

impl Blob {
    /// A new one; now and then one that others push too.
    pub(crate) fn new(random: &mut Random) -> Self {
        if random.once_in(4) {
            let seed = random.next() % COMMON_LAYERS;
            return Self { seed, size: 3_000 + 40_000 * usize::try_from(seed).expect("small") };
        }
        Self::only(random)
    }

    /// One that nobody else pushes.
    pub(crate) fn only(random: &mut Random) -> Self {
        let largest = *random.pick(&[200, 10_000, 300_000]);
        let size = 1 + random.below(largest);
        Self::sized(random, size)
    }

    /// The same, of a given size.
    pub(crate) fn sized(random: &mut Random, size: usize) -> Self {
        Self { seed: random.next() | 1 << 63, size }
    }

    pub(crate) fn bytes(self) -> Bytes {
        Random(self.seed).bytes(self.size).into()
    }

    pub(crate) fn digest(self) -> String {
        sha256(&self.bytes())
    }
}

/// An image: its manifest's bytes differ from any other's.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) blobs: Vec<Blob>,
    pub(crate) manifest: Bytes,
    pub(crate) digest: String,
}

impl Image {
    pub(crate) fn new(random: &mut Random) -> Self {
        let blobs = (0..2 + random.below(3)).map(|_| Blob::new(random)).collect();
        Self::of(blobs, random.next())
    }

    /// Of a config and layers; the number makes its manifest another than that of the same blobs.
    pub(crate) fn of(blobs: Vec<Blob>, number: u64) -> Self {
        let descriptor = |kind: &str, blob: &Blob| json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": blob.digest(), "size": blob.size });
        let layers: Vec<_> = blobs[1..].iter().map(|blob| descriptor("layer.v1.tar", blob)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("config.v1+json", &blobs[0]),
            "layers": layers,
            "annotations": { "number": number.to_string() },
        });
        let manifest = Bytes::from(manifest.to_string());
        Self { blobs, digest: sha256(&manifest), manifest }
    }
}

/// `sha256:` and the digest of the bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
