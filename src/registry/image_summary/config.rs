//! The configuration of a container image, and its history joined to its layers (image specification, config.md).

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    Layer, MAX_ENTRIES,
    lenient::{self, Entries, Value},
};
use crate::oci::Descriptor;

/// Most entries kept of an artifact's configuration.
const MAX_DETAILS: usize = 20;

/// What an image does when it is run, as far as its configuration says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Operating system; empty when not said.
    pub os: String,
    /// Processor architecture, in Go's words; empty when not said.
    pub architecture: String,
    /// Variant of the architecture; empty when there is none.
    pub variant: String,
    /// When it was built, as it claims.
    #[serde(with = "super::stored::moment")]
    pub created: Option<OffsetDateTime>,
    /// Who made it; empty when not said.
    pub author: String,
    /// The program.
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program when there is no entrypoint.
    pub cmd: Vec<String>,
    /// Environment variables, as `NAME=value`.
    pub env: Vec<String>,
    /// User and group it runs as; empty is root.
    pub user: String,
    /// Working directory; empty is `/`.
    pub working_directory: String,
    /// Ports it listens on, as `port/protocol`.
    pub ports: Vec<String>,
    /// Directories that become volumes.
    pub volumes: Vec<String>,
    /// Signal that stops it; empty is SIGTERM.
    pub stop_signal: String,
    /// Labels.
    pub labels: Vec<(String, String)>,
}

/// A step of the build, with the layer it made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The instruction; empty when the history does not say.
    pub instruction: String,
    /// What the builder remarked.
    pub comment: String,
    /// When, as it claims.
    #[serde(with = "super::stored::moment")]
    pub created: Option<OffsetDateTime>,
    /// The layer; `None` for a step that only changed the configuration.
    pub layer: Option<Layer>,
}

/// An entry of the history, not joined to a layer yet.
pub(super) struct Event {
    step: Step,
    makes_layer: bool,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Fields {
    os: Value,
    architecture: Value,
    variant: Value,
    created: Value,
    author: Value,
    config: Option<Execution>,
    history: Entries<HistoryFields>,
}

/// The image specification took over Docker's capitals.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Execution {
    entrypoint: Value,
    cmd: Value,
    env: Value,
    user: Value,
    working_dir: Value,
    exposed_ports: Value,
    volumes: Value,
    stop_signal: Value,
    labels: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HistoryFields {
    created: Value,
    created_by: Value,
    comment: Value,
    empty_layer: Value,
}

impl ImageConfig {
    /// Reads a configuration and its history; `None` when it is no JSON object of this form.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, Vec<Event>)> {
        let fields: Fields = serde_json::from_slice(bytes).ok()?;
        let execution = fields.config.unwrap_or_default();
        let history = fields.history.0.into_iter().map(Event::new).collect();
        let config = Self {
            os: fields.os.text(),
            architecture: fields.architecture.text(),
            variant: fields.variant.text(),
            created: lenient::time(&fields.created.text()),
            author: fields.author.text(),
            entrypoint: execution.entrypoint.texts(),
            cmd: execution.cmd.texts(),
            env: execution.env.texts(),
            user: execution.user.text(),
            working_directory: execution.working_dir.text(),
            ports: execution.exposed_ports.keys(),
            volumes: execution.volumes.keys(),
            stop_signal: execution.stop_signal.text(),
            labels: execution.labels.pairs(),
        };
        Some((config, history))
    }

    /// Whether processes run as root unless told otherwise.
    pub fn runs_as_root(&self) -> bool {
        let user = self.user.split(':').next().unwrap_or_default();
        matches!(user, "" | "0" | "root")
    }

    /// About how many bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        let lists = [&self.entrypoint, &self.cmd, &self.env, &self.ports, &self.volumes];
        let texts = lists.into_iter().flatten().map(|text| text.len() + 24).sum::<usize>();
        let labels = self.labels.iter().map(|(key, value)| key.len() + value.len() + 48).sum::<usize>();
        512 + texts + labels + self.author.len()
    }
}

impl Step {
    /// About how many bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        256 + self.instruction.len() + self.comment.len()
    }
}

impl Event {
    fn new(fields: HistoryFields) -> Self {
        Self {
            makes_layer: fields.empty_layer != Value::Truth(true),
            step: Step {
                instruction: fields.created_by.text(),
                comment: fields.comment.text(),
                created: lenient::time(&fields.created.text()),
                layer: None,
            },
        }
    }
}

/// What the configuration of an artifact says of it: its texts, in its order.
pub(super) fn details(bytes: &[u8]) -> Vec<(String, String)> {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    value.pairs().into_iter().filter(|(_, text)| !text.is_empty()).take(MAX_DETAILS).collect()
}

/// The history with the layers it made, in order, and then the layers it does not account for.
///
/// Nothing forces the two to agree: a history may be missing, shorter or longer.
pub(super) fn join(history: Vec<Event>, layers: &[Descriptor]) -> Vec<Step> {
    let mut layers = layers.iter().map(Layer::new);
    let mut steps = Vec::new();
    for event in history {
        let layer = if event.makes_layer { layers.next() } else { None };
        steps.push(Step { layer, ..event.step });
    }
    let rest = MAX_ENTRIES.saturating_sub(steps.len());
    steps.extend(layers.take(rest).map(|layer| Step { layer: Some(layer), ..Step::default() }));
    steps
}
