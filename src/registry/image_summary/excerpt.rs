//! What a summary takes of a manifest: its kind, its blobs, and texts that are cut to what a page can show.

use std::{cmp::Reverse, collections::BTreeMap};

use time::OffsetDateTime;

use super::{MAX_ENTRIES, MAX_TEXT, lenient};
use crate::oci::{Descriptor, Digest, Manifest, ManifestKind, media_type};

/// What an artifact is. Signatures and attestations have the configuration of an image, or an empty one: then their
/// content says it.
pub(super) fn artifact_type(manifest: &Manifest) -> &str {
    let generic = [media_type::OCI_CONFIG, media_type::DOCKER_CONFIG, media_type::OCI_EMPTY, ""];
    let named = manifest.effective_artifact_type().filter(|named| !generic.contains(named));
    let content = || manifest.layers.first().map(|layer| layer.media_type.as_str());
    named.or_else(content).filter(|named| !named.is_empty()).unwrap_or("unknown")
}

/// Most blobs of a manifest that are counted.
const MAX_BLOBS: usize = 5000;

pub(super) fn blobs_of(manifest: &Manifest) -> Vec<(Digest, u64)> {
    let mut blobs: Vec<(Digest, u64)> = Vec::new();
    for blob in manifest.config.iter().chain(&manifest.layers).take(MAX_BLOBS) {
        if !blob.is_stored_elsewhere() {
            blobs.push((blob.digest.clone(), blob.size));
        }
    }
    blobs.sort_unstable();
    blobs.dedup_by(|one, other| one.0 == other.0);
    blobs
}

/// Signatures and attestations borrow the configuration type of images: what they lack is layers of one.
pub(super) fn is_container_image(manifest: &Manifest) -> bool {
    let is_layer = |layer: &Descriptor| {
        layer.media_type.starts_with("application/vnd.oci.image.layer.")
            || layer.media_type.starts_with("application/vnd.docker.image.rootfs.")
            || layer.media_type.is_empty()
    };
    let config_type = manifest.config.as_ref().map(|config| config.media_type.as_str());
    matches!(config_type, Some(media_type::OCI_CONFIG | media_type::DOCKER_CONFIG | ""))
        && (manifest.kind == ManifestKind::DockerManifest
            || manifest.artifact_type.as_ref().is_none_or(String::is_empty))
        && (manifest.layers.is_empty() || manifest.layers.iter().any(is_layer))
}

/// `None` when nothing is known, as BuildKit marks attestations.
pub(super) fn platform_text(os: &str, architecture: &str, variant: &str) -> Option<String> {
    let known = |text: &str| !text.is_empty() && text != "unknown";
    if !known(os) && !known(architecture) {
        return None;
    }
    let mut text = format!("{os}/{architecture}");
    if !variant.is_empty() {
        text.push('/');
        text.push_str(variant);
    }
    Some(cut(&text, 100))
}

pub(super) fn created(annotations: &[(String, String)]) -> Option<OffsetDateTime> {
    let (_, value) = annotations.iter().find(|(key, _)| key == "org.opencontainers.image.created")?;
    lenient::time(value)
}

/// Those most likely wanted come first: short keys of the image specification, then the rest by name.
pub(super) fn capped_entries(map: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| Reverse(key.starts_with("org.opencontainers.")));
    entries.into_iter().take(MAX_ENTRIES).map(|(key, value)| (cap(key), cap(value))).collect()
}

pub(super) fn cap(text: &str) -> String {
    cut(text, MAX_TEXT)
}

/// At most `limit` bytes of `text`, with an ellipsis in place of what is left out.
fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut kept = text[..text.floor_char_boundary(limit - '…'.len_utf8())].to_owned();
    kept.push('…');
    kept
}
