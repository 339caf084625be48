//! What a manifest is, in words that people use.

use crate::registry::image_summary::{ImageSummary, SummaryKind};

/// What a manifest is, in a word or two.
pub(in crate::ui) fn kind(summary: &ImageSummary) -> String {
    match &summary.kind {
        SummaryKind::Image(_) => "image".to_owned(),
        SummaryKind::Index(_) if summary.platforms.len() > 1 => "multi-platform image".to_owned(),
        SummaryKind::Index(_) if summary.platforms.len() == 1 => "image".to_owned(),
        SummaryKind::Index(_) => "index".to_owned(),
        SummaryKind::Artifact(facts) => artifact_kind(&facts.artifact_type).to_owned(),
    }
}

/// The artifacts people meet, by type.
pub(super) fn artifact_kind(artifact_type: &str) -> &str {
    const KNOWN: [(&str, &str); 9] = [
        ("application/vnd.cncf.helm.", "Helm chart"),
        ("application/vnd.dev.cosign.", "cosign signature"),
        ("application/vnd.dev.sigstore.bundle", "Sigstore bundle"),
        ("application/vnd.cncf.notary.signature", "Notary signature"),
        ("application/vnd.in-toto+json", "in-toto attestation"),
        ("application/spdx+json", "SPDX bill of materials"),
        ("text/spdx", "SPDX bill of materials"),
        ("application/vnd.cyclonedx", "CycloneDX bill of materials"),
        ("application/vnd.wasm.", "WebAssembly module"),
    ];
    KNOWN.iter().find(|(prefix, _)| artifact_type.starts_with(prefix)).map_or("artifact", |(_, name)| name)
}
