//! The parts of an image's page, each from what the registry knows, ready to be written.

use super::{
    dockerfile::{dockerfile, instruction},
    fact::Fact,
    kind::artifact_kind,
};
use crate::{
    oci::{
        Digest, Reference, RepositoryName, Tag,
        media_type::{DOCKER_CONFIG, OCI_CONFIG},
    },
    registry::{
        Known, LayerUse, ManifestKindView, ManifestView,
        image_summary::{
            ArtifactFile, Child, ImageConfig, ImageFacts, ImageSummary, IndexFacts, Step, SummaryKind,
        },
    },
    ui::{
        address::Target,
        display::{self, Moment, ShownDigest},
    },
};

/// A longer instruction is folded, in bytes.
const SHORT_INSTRUCTION: usize = 200;

/// What is shown of a list, and how many are left out.
pub(super) struct Part<T> {
    pub(super) shown: Vec<T>,
    pub(super) left_out: usize,
}

pub(super) struct Link {
    pub(super) digest: ShownDigest,
    pub(super) href: String,
}

pub(super) struct PlatformLink {
    pub(super) text: String,
    pub(super) href: String,
    pub(super) is_shown: bool,
}

/// Other images that have a layer.
#[derive(Clone, Default)]
pub(super) struct LayerUses {
    pub(super) count: usize,
    pub(super) some: Vec<PageLink>,
}

/// A link with its text.
#[derive(Clone, Debug)]
pub(in crate::ui) struct PageLink {
    pub(in crate::ui) text: String,
    pub(in crate::ui) href: String,
}

pub(super) struct ImageView {
    pub(super) platform: Option<String>,
    pub(super) is_readable: bool,
    /// Whether all repositories were looked at for other images of a layer.
    pub(super) uses_are_complete: bool,
    pub(super) uses_lack_room: bool,
    pub(super) facts: Vec<Fact>,
    pub(super) env: Vec<Fact>,
    pub(super) labels: Vec<Fact>,
    pub(super) steps: Vec<StepRow>,
    pub(super) layer_count: usize,
    pub(super) layers_size: String,
    pub(super) dockerfile: Option<String>,
}

pub(super) struct StepRow {
    pub(super) instruction: String,
    /// The whole of it, when `instruction` is not.
    pub(super) whole: Option<String>,
    pub(super) layer: Option<LayerCell>,
}

pub(super) struct LayerCell {
    pub(super) digest: ShownDigest,
    pub(super) media_type: String,
    pub(super) size: String,
    /// Part of all layers, 0 to 100, as an attribute of SVG.
    pub(super) share: String,
    pub(super) percent: String,
    pub(super) uses: LayerUses,
}

pub(super) struct ChildRow {
    pub(super) platform: String,
    pub(super) kind: String,
    pub(super) link: Link,
    pub(super) size: Option<String>,
    pub(super) created: Option<Moment>,
    /// Whether it is about the row above.
    pub(super) is_attestation: bool,
    /// What it attests.
    pub(super) predicates: Vec<String>,
}

pub(super) struct FileRow {
    pub(super) title: String,
    pub(super) media_type: String,
    pub(super) digest: ShownDigest,
    pub(super) size: String,
}

pub(super) struct ReferrerRow {
    pub(super) kind: String,
    pub(super) link: Link,
    pub(super) size: String,
    pub(super) created: Option<Moment>,
    /// The tag that holds it, where it is found by its tag.
    pub(super) tag: Option<String>,
}

impl PageLink {
    pub(in crate::ui) fn of_tag(name: &RepositoryName, tag: &Tag) -> Self {
        let href = Target::Image(name.clone(), Reference::Tag(tag.clone())).path();
        Self { text: tag.to_string(), href }
    }

    fn of_use(layer_use: &LayerUse) -> Self {
        let target = Target::Image(layer_use.repository.clone(), Reference::Tag(layer_use.tag.clone()));
        Self { text: target.text(), href: target.path() }
    }
}

impl LayerUses {
    pub(super) fn new((count, some): &(usize, Vec<LayerUse>)) -> Self {
        Self { count: *count, some: some.iter().map(PageLink::of_use).collect() }
    }
}

impl Link {
    pub(super) fn new(name: &RepositoryName, digest: &Digest) -> Self {
        let target = Target::Image(name.clone(), Reference::Digest(digest.clone()));
        Self { digest: ShownDigest::new(digest), href: target.path() }
    }
}

impl ImageView {
    /// `uses` has an entry for each layer of `summary`, in order.
    pub(super) fn new(summary: &ImageSummary, known: &Known<Vec<LayerUses>>) -> Option<Self> {
        let SummaryKind::Image(facts) = &summary.kind else { return None };
        let layers = || facts.steps.iter().filter_map(|step| step.layer.as_ref());
        let total = layers().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        let mut uses = known.found.iter();
        let mut step_row = |step: &Step| {
            let uses = step.layer.as_ref().and_then(|_| uses.next()).cloned().unwrap_or_default();
            StepRow::new(step, total, uses)
        };
        Some(Self {
            platform: summary.platforms.first().cloned(),
            is_readable: facts.config.is_some(),
            uses_are_complete: known.is_complete,
            uses_lack_room: known.lacks_room,
            facts: facts.facts(),
            env: facts
                .config
                .iter()
                .flat_map(|config| &config.env)
                .map(|text| Fact::of_variable(text))
                .collect(),
            labels: facts.config.iter().flat_map(|config| &config.labels).map(Fact::of_pair).collect(),
            steps: facts.steps.iter().map(&mut step_row).collect(),
            layer_count: facts.layer_count,
            layers_size: display::size(total),
            dockerfile: dockerfile(summary),
        })
    }
}

impl ImageFacts {
    fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        if let Some(config) = &self.config {
            facts.extend([
                Fact::new("Entrypoint", &exec_form(&config.entrypoint)),
                Fact::new("Command", &exec_form(&config.cmd)),
                Fact::new("User", &user(config)),
                Fact::new("Working directory", &config.working_directory),
                Fact::new("Ports", &config.ports.join(", ")),
                Fact::new("Volumes", &config.volumes.join(", ")),
                Fact::new("Stop signal", &config.stop_signal),
                Fact::new("Author", &config.author),
            ]);
        }
        facts.push(Fact::new("Image id", self.config_digest.as_str()));
        facts.into_iter().flatten().collect()
    }
}

fn user(config: &ImageConfig) -> String {
    match (config.user.is_empty(), config.runs_as_root()) {
        (true, _) => "not set: runs as root".to_owned(),
        (false, true) => format!("{} (root)", config.user),
        (false, false) => config.user.clone(),
    }
}

/// As a Dockerfile has it: `["a", "b c"]`.
fn exec_form(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    if quoted.is_empty() { String::new() } else { format!("[{}]", quoted.join(", ")) }
}

impl StepRow {
    fn new(step: &Step, total: u64, uses: LayerUses) -> Self {
        let clean = instruction(&step.instruction);
        let clean = if clean.is_empty() { step.comment.as_str() } else { clean };
        let is_long = clean.len() > SHORT_INSTRUCTION || clean.lines().count() > 3;
        let short = clean.lines().next().unwrap_or_default();
        let short = &short[..short.floor_char_boundary(SHORT_INSTRUCTION)];
        Self {
            instruction: if is_long { format!("{short} …") } else { clean.to_owned() },
            whole: is_long.then(|| clean.to_owned()),
            layer: step.layer.as_ref().map(|layer| {
                let share = if total == 0 { 0.0 } else { layer.size as f64 * 100.0 / total as f64 };
                LayerCell {
                    digest: ShownDigest::new(&layer.digest),
                    media_type: layer.media_type.clone(),
                    size: display::size(layer.size),
                    uses,
                    share: format!("{share:.2}"),
                    percent: if share > 0.0 && share < 1.0 {
                        "< 1".to_owned()
                    } else {
                        format!("{share:.0}")
                    },
                }
            }),
        }
    }
}

impl ChildRow {
    pub(super) fn new(
        name: &RepositoryName,
        facts: &IndexFacts,
        child: &Child,
        predicates: Vec<String>,
    ) -> Self {
        let attested = child.attests.as_ref().map(|attested| {
            let image = facts.children.iter().find(|other| other.digest == *attested);
            image.and_then(|image| image.platform.clone()).unwrap_or_else(|| "an image not listed".to_owned())
        });
        let kind = match (&attested, child.artifact_type.as_deref()) {
            (Some(_), _) => "attestation",
            // Some tools name the type of the configuration where an artifact's type would stand.
            (None, Some(OCI_CONFIG | DOCKER_CONFIG)) => "image",
            (None, Some(artifact_type)) => artifact_kind(artifact_type),
            (None, None) if child.media_type.contains("index") || child.media_type.contains("list") => {
                "index"
            }
            (None, None) => "image",
        };
        Self {
            platform: match (attested, &child.platform) {
                (Some(attested), _) => format!("for {attested}"),
                (None, Some(platform)) => platform.clone(),
                (None, None) => "–".to_owned(),
            },
            kind: kind.to_owned(),
            link: Link::new(name, &child.digest),
            size: child.compressed_size.map(display::size),
            created: child.created.and_then(Moment::new),
            is_attestation: child.attests.is_some(),
            predicates,
        }
    }
}

impl FileRow {
    pub(super) fn new(file: &ArtifactFile) -> Self {
        Self {
            title: file.title.clone().unwrap_or_else(|| "–".to_owned()),
            media_type: file.blob.media_type.clone(),
            digest: ShownDigest::new(&file.blob.digest),
            size: display::size(file.blob.size),
        }
    }
}

impl ReferrerRow {
    pub(super) fn new(name: &RepositoryName, referrer: &ManifestView, tag: Option<&Tag>) -> Self {
        let cut = |text: &str| text[..text.floor_char_boundary(200)].to_owned();
        let kind = match &referrer.kind {
            ManifestKindView::Artifact(artifact_type) => match artifact_kind(artifact_type) {
                "artifact" if !artifact_type.is_empty() => cut(artifact_type),
                known => known.to_owned(),
            },
            _ => super::kind::kind_of_view(referrer),
        };
        Self {
            kind,
            link: Link::new(name, &referrer.digest),
            size: display::size(referrer.size),
            created: referrer.created.and_then(Moment::new),
            tag: tag.map(ToString::to_string),
        }
    }
}
