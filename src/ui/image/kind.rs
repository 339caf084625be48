//! What a manifest is, in words that people use.

use crate::registry::{
    ManifestKindView, ManifestView,
    image_summary::{ImageSummary, SummaryKind},
};

/// What a manifest is, in a word or two.
pub(in crate::ui) fn kind(summary: &ImageSummary) -> String {
    match &summary.kind {
        SummaryKind::Image(_) => "image".to_owned(),
        SummaryKind::Index(_) => index_kind(summary.platforms.len()).to_owned(),
        SummaryKind::Artifact(facts) => artifact_kind(&facts.artifact_type).to_owned(),
    }
}

/// The same of a manifest in a list.
pub(in crate::ui) fn kind_of_view(manifest: &ManifestView) -> String {
    match &manifest.kind {
        ManifestKindView::Image => "image".to_owned(),
        ManifestKindView::Index => index_kind(manifest.platforms.len()).to_owned(),
        ManifestKindView::Artifact(artifact_type) => artifact_kind(artifact_type).to_owned(),
    }
}

fn index_kind(platforms: usize) -> &'static str {
    match platforms {
        0 => "index",
        1 => "image",
        _ => "multi-platform image",
    }
}

/// The artifacts people meet, by type.
pub(in crate::ui) fn short_kind(artifact_type: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 10] = [
        ("application/vnd.cncf.helm.", "Helm chart"),
        ("application/vnd.dev.cosign.", "cosign signature"),
        ("application/vnd.dev.sigstore.bundle", "Sigstore bundle"),
        ("application/vnd.cncf.notary.signature", "Notary signature"),
        ("application/vnd.in-toto+json", "in-toto attestation"),
        ("application/spdx+json", "SPDX bill of materials"),
        ("text/spdx", "SPDX bill of materials"),
        ("application/vnd.cyclonedx", "CycloneDX bill of materials"),
        ("application/vnd.wasm.", "WebAssembly module"),
        ("application/vnd.docker.attestation", "attestation"),
    ];
    KNOWN.iter().find(|(prefix, _)| artifact_type.starts_with(prefix)).map(|(_, name)| *name)
}

/// The same, with a word for the others.
pub(super) fn artifact_kind(artifact_type: &str) -> &'static str {
    short_kind(artifact_type).unwrap_or("artifact")
}
