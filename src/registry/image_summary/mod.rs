//! What a person wants to know of a manifest: platforms, sizes, configuration, layers. Pure, by digest.
//!
//! Whoever may push writes what is read here. Nothing in it makes a summary fail: what cannot be read is left
//! out, and every text and list is cut to a limit, so a summary costs no more than its manifest and
//! configuration did.

mod config;
mod excerpt;
mod lenient;
mod stored;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use config::{ImageConfig, Step};
use excerpt::{artifact_type, blobs_of, cap, capped_entries, created, is_container_image, platform_text};

use crate::oci::{Descriptor, Digest, Manifest, Platform};

/// Longest text kept, in bytes.
pub const MAX_TEXT: usize = 4096;
/// Most entries kept of each list: labels, variables, history, children, files.
pub const MAX_ENTRIES: usize = 500;
/// Largest image configuration worth reading, in bytes; callers pass `None` for a larger one.
pub const MAX_CONFIG: u64 = 1 << 20;

/// One of the four media types of manifests.
pub type MediaType = &'static str;

/// A manifest at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageSummary {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Its media type.
    #[serde(with = "stored::known_media_type")]
    pub media_type: MediaType,
    /// Its own size in bytes.
    pub manifest_size: u64,
    /// What it is.
    pub kind: SummaryKind,
    /// The platforms it runs on, as `os/architecture[/variant]`, without attestations and `unknown/unknown`.
    pub platforms: Vec<String>,
    /// What a client transfers, in bytes: configuration and layers, compressed; of an index, all children known.
    pub compressed_size: u64,
    /// When it was built, as its configuration or annotation claims; of an index, the newest of its children.
    #[serde(with = "stored::moment")]
    pub created: Option<OffsetDateTime>,
    /// Annotations of the manifest.
    pub annotations: Vec<(String, String)>,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// Every blob it names, each once: configuration and layers.
    #[serde(default)]
    pub blobs: Vec<(Digest, u64)>,
}

/// The three things a manifest can be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SummaryKind {
    /// A container image.
    Image(ImageFacts),
    /// A list of manifests.
    Index(IndexFacts),
    /// Anything else that is kept in a registry.
    Artifact(ArtifactFacts),
}

/// What only an image has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Digest of the configuration, which `docker images` shows as the image's id.
    pub config_digest: Digest,
    /// The configuration, unless it is too large, missing or unreadable.
    pub config: Option<Box<ImageConfig>>,
    /// How it was built: the history with the layer each step made, then the layers no step accounts for.
    pub steps: Vec<Step>,
    /// How many layers there are, even when not all are in `steps`.
    pub layer_count: usize,
}

/// What only an index has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexFacts {
    /// Its entries.
    pub children: Vec<Child>,
    /// How many there are, even when not all are in `children`.
    pub child_count: usize,
    /// Compressed size of the smallest and the largest image in it, in bytes.
    pub size_range: Option<(u64, u64)>,
}

/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Its media type, as the index has it.
    pub media_type: String,
    /// `os/architecture[/variant]`, unless unknown.
    pub platform: Option<String>,
    /// The manifest it attests, by BuildKit's annotation.
    pub attests: Option<Digest>,
    /// Its artifact type.
    pub artifact_type: Option<String>,
    /// Compressed size in bytes, when the child is in the repository.
    pub compressed_size: Option<u64>,
    /// When it was built.
    #[serde(with = "stored::moment")]
    pub created: Option<OffsetDateTime>,
}

/// What only an artifact has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArtifactFacts {
    /// Its artifact type, else the media type of its configuration.
    pub artifact_type: String,
    /// Its layers.
    pub files: Vec<ArtifactFile>,
    /// How many there are, even when not all are in `files`.
    pub file_count: usize,
    /// What its configuration says of it, where that is JSON: of a Helm chart its name, version and description.
    #[serde(default)]
    pub details: Vec<(String, String)>,
}

/// A layer of an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// Its name, by the `title` annotation.
    pub title: Option<String>,
    /// The type of the in-toto statement it holds, as BuildKit and cosign note it.
    #[serde(default)]
    pub predicate: Option<String>,
    /// What it is.
    pub blob: Layer,
}

/// A blob that a manifest lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes, compressed.
    pub size: u64,
}

impl ImageSummary {
    /// The summary of an image or artifact. `config` is what its configuration descriptor points at, `None`
    /// when it is over [`MAX_CONFIG`] or could not be read.
    pub fn of_image(digest: Digest, manifest: &Manifest, manifest_size: u64, config: Option<&[u8]>) -> Self {
        let annotations = capped_entries(&manifest.annotations);
        let descriptor = manifest.config.as_ref();
        let whole_config = config;
        let config = config.filter(|_| is_container_image(manifest)).and_then(ImageConfig::parse);
        let (config, history) = config.unzip();
        let platform = config
            .as_ref()
            .and_then(|config| platform_text(&config.os, &config.architecture, &config.variant));
        let created = config.as_ref().and_then(|config| config.created).or_else(|| created(&annotations));
        let blobs = descriptor.into_iter().chain(&manifest.layers);
        let compressed_size = blobs.fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
        let kind = match descriptor {
            Some(descriptor) if is_container_image(manifest) => SummaryKind::Image(ImageFacts {
                config_digest: descriptor.digest.clone(),
                steps: config::join(history.unwrap_or_default(), &manifest.layers),
                layer_count: manifest.layers.len(),
                config: config.map(Box::new),
            }),
            _ => SummaryKind::Artifact(ArtifactFacts {
                artifact_type: cap(artifact_type(manifest)),
                files: manifest.layers.iter().take(MAX_ENTRIES).map(ArtifactFile::new).collect(),
                file_count: manifest.layers.len(),
                details: whole_config.map(config::details).unwrap_or_default(),
            }),
        };
        Self {
            digest,
            media_type: manifest.kind.media_type(),
            manifest_size,
            kind,
            platforms: platform.into_iter().collect(),
            compressed_size,
            created,
            annotations,
            subject: manifest.subject.as_ref().map(|subject| subject.digest.clone()),
            blobs: blobs_of(manifest),
        }
    }

    /// The summary of an index. `children` are the summaries of those of its entries that are in the
    /// repository, in any order.
    pub fn of_index(
        digest: Digest,
        manifest: &Manifest,
        manifest_size: u64,
        children: &[Arc<ImageSummary>],
    ) -> Self {
        let known: BTreeMap<&Digest, &Self> =
            children.iter().map(|child| (&child.digest, &**child)).collect();
        let entries: Vec<Child> = manifest
            .manifests
            .iter()
            .take(MAX_ENTRIES)
            .map(|entry| Child::new(entry, known.get(&entry.digest).copied()))
            .collect();
        let images = || entries.iter().filter(|child| child.attests.is_none() && child.platform.is_some());
        let sizes = || images().filter_map(|child| child.compressed_size);
        let mut platforms: Vec<String> = Vec::new();
        for platform in images().filter_map(|child| child.platform.as_ref()) {
            if !platforms.contains(platform) {
                platforms.push(platform.clone());
            }
        }
        let annotations = capped_entries(&manifest.annotations);
        Self {
            digest,
            media_type: manifest.kind.media_type(),
            manifest_size,
            platforms,
            compressed_size: entries
                .iter()
                .filter_map(|child| child.compressed_size)
                .fold(0, u64::saturating_add),
            created: images().filter_map(|child| child.created).max().or_else(|| created(&annotations)),
            annotations,
            subject: manifest.subject.as_ref().map(|subject| subject.digest.clone()),
            blobs: Vec::new(),
            kind: SummaryKind::Index(IndexFacts {
                size_range: sizes().min().zip(sizes().max()),
                child_count: manifest.manifests.len(),
                children: entries,
            }),
        }
    }

    /// About how many bytes the summary takes in memory, for a bounded cache.
    pub fn weight(&self) -> usize {
        let pairs = |pairs: &[(String, String)]| {
            pairs.iter().map(|(key, value)| key.len() + value.len() + 48).sum::<usize>()
        };
        let kind = match &self.kind {
            SummaryKind::Image(facts) => {
                let steps: usize = facts.steps.iter().map(Step::weight).sum();
                steps + facts.config.as_deref().map_or(0, ImageConfig::weight)
            }
            SummaryKind::Index(facts) => facts.children.len() * 512,
            SummaryKind::Artifact(facts) => facts
                .files
                .iter()
                .map(|file| file.title.as_ref().map_or(0, String::len) + file.blob.media_type.len() + 256)
                .sum(),
        };
        512 + pairs(&self.annotations) + kind + self.blobs.len() * 128
    }
}

impl Child {
    fn new(entry: &Descriptor, known: Option<&ImageSummary>) -> Self {
        let attests = entry
            .annotations
            .get("vnd.docker.reference.digest")
            .filter(|_| entry.annotations.contains_key("vnd.docker.reference.type"))
            .and_then(|digest| digest.parse().ok());
        let own = entry
            .platform
            .as_ref()
            .map(|Platform { architecture, os, variant }| platform_text(os, architecture, variant));
        // An entry without a platform field is described by the image's own configuration.
        let platform = own.unwrap_or_else(|| known.and_then(|summary| summary.platforms.first().cloned()));
        Self {
            digest: entry.digest.clone(),
            media_type: cap(&entry.media_type),
            platform: platform.filter(|_| attests.is_none()),
            attests,
            artifact_type: entry.artifact_type.as_deref().filter(|value| !value.is_empty()).map(cap),
            compressed_size: known.map(|summary| summary.compressed_size),
            created: known.and_then(|summary| summary.created),
        }
    }
}

impl ArtifactFile {
    fn new(layer: &Descriptor) -> Self {
        Self {
            title: layer.annotations.get("org.opencontainers.image.title").map(|title| cap(title)),
            predicate: layer.annotations.get("in-toto.io/predicate-type").map(|text| cap(text)),
            blob: Layer::new(layer),
        }
    }
}

impl Layer {
    fn new(descriptor: &Descriptor) -> Self {
        Self {
            digest: descriptor.digest.clone(),
            media_type: cap(&descriptor.media_type),
            size: descriptor.size,
        }
    }
}
