//! What the summary of a manifest says, in words and rows.

use super::{
    fact::Fact,
    kind::artifact_kind,
    rows::{FileRow, Part},
};
use crate::{
    oci::{Reference, RepositoryName},
    registry::image_summary::{ArtifactFacts, ImageSummary, SummaryKind},
    ui::{
        commands::{self, Tool},
        display,
    },
};

impl ImageSummary {
    /// What to type to use it; the first is the plain way to get it.
    pub(super) fn tools(&self, host: &str, name: &RepositoryName, reference: &Reference) -> Vec<Tool> {
        match &self.kind {
            SummaryKind::Image(_) | SummaryKind::Index(_) => {
                commands::for_image(host, name, reference, &self.digest)
            }
            SummaryKind::Artifact(facts) => {
                let is_helm_chart = artifact_kind(&facts.artifact_type) == "Helm chart";
                commands::for_artifact(host, name, reference, &self.digest, is_helm_chart)
            }
        }
    }

    /// Sizes of the smallest and the largest image of an index, where they differ.
    pub(super) fn shown_size_range(&self) -> Option<(String, String)> {
        match &self.kind {
            SummaryKind::Index(facts) => display::size_range(facts.size_range),
            SummaryKind::Image(_) | SummaryKind::Artifact(_) => None,
        }
    }

    /// What an attestation states, by the types of its statements.
    pub(super) fn predicates(&self) -> Vec<String> {
        let SummaryKind::Artifact(facts) = &self.kind else { return Vec::new() };
        facts.files.iter().filter_map(|file| file.predicate.as_deref()).map(predicate_name).collect()
    }

    /// What the configuration of an artifact says.
    pub(super) fn details(&self) -> Vec<Fact> {
        let SummaryKind::Artifact(facts) = &self.kind else { return Vec::new() };
        let artifact_type = ("artifact type".to_owned(), facts.artifact_type.clone());
        std::iter::once(&artifact_type).chain(&facts.details).map(Fact::of_pair).collect()
    }

    /// What an artifact is made of.
    pub(super) fn files(&self) -> Part<FileRow> {
        match &self.kind {
            SummaryKind::Artifact(ArtifactFacts { files, file_count, .. }) => Part {
                shown: files.iter().map(FileRow::new).collect(),
                left_out: file_count.saturating_sub(files.len()),
            },
            SummaryKind::Image(_) | SummaryKind::Index(_) => Part { shown: Vec::new(), left_out: 0 },
        }
    }
}

fn predicate_name(predicate: &str) -> String {
    const KNOWN: [(&str, &str); 4] = [
        ("https://slsa.dev/provenance", "SLSA provenance"),
        ("https://spdx.dev/Document", "SPDX bill of materials"),
        ("https://cyclonedx.org/bom", "CycloneDX bill of materials"),
        ("https://in-toto.io/attestation/vulns", "vulnerabilities"),
    ];
    let known = KNOWN.iter().find(|(prefix, _)| predicate.starts_with(prefix));
    known.map_or_else(
        || predicate[..predicate.floor_char_boundary(200)].to_owned(),
        |(_, name)| (*name).to_owned(),
    )
}
