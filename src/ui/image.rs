//! An image, index or artifact: how to use it, what it is, what it is made of.

use std::sync::Arc;

use askama::Template;

use super::{
    Ui, address,
    address::Target,
    commands::{self, Command},
    display::{self, Moment, ShownDigest},
    repository::{Crumb, crumbs},
    response::Failure,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::{Digest, Reference, RepositoryName},
    registry::{
        Referrer, RegistryError,
        image_summary::{
            ArtifactFacts, ArtifactFile, Child, ImageConfig, ImageFacts, ImageSummary, IndexFacts, Step,
            SummaryKind,
        },
    },
};

/// Most of a manifest shown, in bytes.
const SHOWN_MANIFEST: usize = 64 * 1024;
/// Most referrers listed.
const SHOWN_REFERRERS: usize = 100;
/// A longer instruction is folded, in bytes.
const SHORT_INSTRUCTION: usize = 200;

#[derive(Template)]
#[template(path = "image.html")]
pub(super) struct ImagePage {
    frame: Frame,
    name: String,
    /// `:tag` or `@digest`, short.
    suffix: String,
    title: String,
    crumbs: Vec<Crumb>,
    digest: ShownDigest,
    kind: String,
    media_type: &'static str,
    size: String,
    size_range: Option<(String, String)>,
    created: Option<Moment>,
    subject: Option<Link>,
    platforms: Vec<PlatformLink>,
    commands: Vec<Command>,
    /// The image whose configuration and layers are shown; of an index, the child that was chosen.
    image: Option<ImageView>,
    children: Vec<ChildRow>,
    children_left_out: usize,
    files: Vec<FileRow>,
    files_left_out: usize,
    annotations: Vec<Fact>,
    referrers: Vec<ReferrerRow>,
    more_referrers: bool,
    manifest: String,
    manifest_left_out: Option<String>,
}

struct Link {
    digest: ShownDigest,
    href: String,
}

struct PlatformLink {
    text: String,
    href: String,
    is_shown: bool,
}

/// A name, a value, and where it leads when that is on the web.
struct Fact {
    name: String,
    value: String,
    href: Option<String>,
}

struct ImageView {
    platform: Option<String>,
    is_readable: bool,
    facts: Vec<Fact>,
    env: Vec<String>,
    labels: Vec<Fact>,
    steps: Vec<StepRow>,
    layer_count: usize,
    layers_size: String,
}

struct StepRow {
    instruction: String,
    /// The whole of it, when `instruction` is not.
    whole: Option<String>,
    layer: Option<LayerCell>,
}

struct LayerCell {
    digest: ShownDigest,
    media_type: String,
    size: String,
    /// Part of all layers, 0 to 100, as an attribute of SVG.
    share: String,
    percent: String,
}

struct ChildRow {
    platform: String,
    kind: String,
    link: Link,
    size: Option<String>,
    created: Option<Moment>,
}

struct FileRow {
    title: String,
    media_type: String,
    digest: ShownDigest,
    size: String,
}

struct ReferrerRow {
    kind: String,
    link: Link,
    size: String,
    created: Option<String>,
}

/// The page of a manifest. `platform` chooses a child of an index.
pub(super) async fn page(
    ui: &Ui,
    viewer: &Viewer,
    name: &RepositoryName,
    reference: &Reference,
    platform: &str,
) -> Result<ImagePage, Failure> {
    if !viewer.may_see(ui, name) {
        return Err(Failure::NotFound);
    }
    let manifest = ui.registry.manifest(name, reference).await?;
    let summary = ui.registry.image_summary(name, &manifest.digest).await?;
    let chosen = ui.chosen_image(name, &summary, platform).await?;
    let referrers = ui.registry.referrers(name, &manifest.digest, None, None).await?;
    let path = Target::Image(name.clone(), reference.clone()).path();
    let shown_platform = chosen.as_ref().and_then(|image| image.platforms.first());
    let platform_link = |text: &String| PlatformLink {
        href: address::with_query(&path, &[("platform", text)]),
        is_shown: shown_platform == Some(text) && chosen.is_some(),
        text: text.clone(),
    };
    let shown = display_of_manifest(&manifest.bytes);
    let (children, children_left_out) = summary.children(name);
    let (files, files_left_out) = summary.files();
    Ok(ImagePage {
        frame: viewer.frame.clone(),
        name: name.to_string(),
        suffix: suffix(reference),
        title: format!("{name}{}", suffix(reference)),
        crumbs: crumbs(name),
        digest: ShownDigest::new(&manifest.digest),
        kind: kind(&summary),
        media_type: summary.media_type,
        size: display::size(summary.compressed_size),
        size_range: summary.shown_size_range(),
        created: summary.created.and_then(Moment::new),
        subject: summary.subject.as_ref().map(|subject| Link::new(name, subject)),
        platforms: summary.platforms.iter().map(platform_link).collect(),
        commands: summary.commands(&viewer.frame.host, name, reference),
        image: chosen.as_deref().and_then(ImageView::new),
        children,
        children_left_out,
        files,
        files_left_out,
        annotations: summary.annotations.iter().map(Fact::of_pair).collect(),
        more_referrers: referrers.more || referrers.items.len() > SHOWN_REFERRERS,
        referrers: referrers
            .items
            .iter()
            .take(SHOWN_REFERRERS)
            .map(|referrer| ReferrerRow::new(name, referrer))
            .collect(),
        manifest: shown.0,
        manifest_left_out: shown.1,
    })
}

impl Ui {
    /// The image whose inside is shown: the manifest itself, or the child of an index that was asked for, or
    /// its only one.
    async fn chosen_image(
        &self,
        name: &RepositoryName,
        summary: &Arc<ImageSummary>,
        platform: &str,
    ) -> Result<Option<Arc<ImageSummary>>, Failure> {
        let facts = match &summary.kind {
            SummaryKind::Image(_) => return Ok(Some(summary.clone())),
            SummaryKind::Artifact(_) => return Ok(None),
            SummaryKind::Index(facts) => facts,
        };
        let only = summary.platforms.first().filter(|_| summary.platforms.len() == 1 && platform.is_empty());
        let wanted = only.map_or(platform, String::as_str);
        let is_wanted = |child: &&Child| child.platform.as_deref() == Some(wanted);
        let Some(child) = facts.children.iter().find(is_wanted) else {
            return if platform.is_empty() { Ok(None) } else { Err(Failure::NotFound) };
        };
        match self.registry.image_summary(name, &child.digest).await {
            Ok(image) => Ok(Some(image)),
            // An index may list what is not stored here.
            Err(RegistryError::ManifestUnknown(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl ImageSummary {
    /// What to type to use it; the first is the plain way to get it.
    pub(super) fn commands(&self, host: &str, name: &RepositoryName, reference: &Reference) -> Vec<Command> {
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

    fn children(&self, name: &RepositoryName) -> (Vec<ChildRow>, usize) {
        let SummaryKind::Index(facts) = &self.kind else { return (Vec::new(), 0) };
        // What attests an image stands under it.
        let mut ordered: Vec<&Child> = Vec::new();
        let (attesting, images): (Vec<&Child>, Vec<&Child>) =
            facts.children.iter().partition(|child| child.attests.is_some());
        for image in images {
            ordered.push(image);
            ordered.extend(attesting.iter().filter(|child| child.attests.as_ref() == Some(&image.digest)));
        }
        let listed =
            |child: &Child| facts.children.iter().any(|other| Some(&other.digest) == child.attests.as_ref());
        ordered.extend(attesting.iter().filter(|child| !listed(child)));
        let rows: Vec<_> = ordered.into_iter().map(|child| ChildRow::new(name, facts, child)).collect();
        let left_out = facts.child_count.saturating_sub(rows.len());
        (rows, left_out)
    }

    fn files(&self) -> (Vec<FileRow>, usize) {
        let SummaryKind::Artifact(ArtifactFacts { files, file_count, .. }) = &self.kind else {
            return (Vec::new(), 0);
        };
        (files.iter().map(FileRow::new).collect(), file_count - files.len())
    }
}

/// What a manifest is, in a word or two.
pub(super) fn kind(summary: &ImageSummary) -> String {
    match &summary.kind {
        SummaryKind::Image(_) => "image".to_owned(),
        SummaryKind::Index(_) if summary.platforms.len() > 1 => "multi-platform image".to_owned(),
        SummaryKind::Index(_) if summary.platforms.len() == 1 => "image".to_owned(),
        SummaryKind::Index(_) => "index".to_owned(),
        SummaryKind::Artifact(facts) => artifact_kind(&facts.artifact_type).to_owned(),
    }
}

/// The artifacts people meet, by type.
fn artifact_kind(artifact_type: &str) -> &str {
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

impl Link {
    fn new(name: &RepositoryName, digest: &Digest) -> Self {
        let target = Target::Image(name.clone(), Reference::Digest(digest.clone()));
        Self { digest: ShownDigest::new(digest), href: target.path() }
    }
}

impl Fact {
    fn new(name: &str, value: &str) -> Option<Self> {
        (!value.is_empty()).then(|| Self { name: name.to_owned(), value: value.to_owned(), href: None })
    }

    /// A label or annotation; it becomes a link only if it is an address on the web.
    fn of_pair((name, value): &(String, String)) -> Self {
        Self { name: name.clone(), value: value.clone(), href: web_address(value).map(str::to_owned) }
    }
}

/// `value` when a browser would go to just what is shown, on the web.
fn web_address(value: &str) -> Option<&str> {
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"))?;
    let plain =
        rest.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'));
    // A name before an @ is made to look like the host.
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    (plain && !host.is_empty() && !host.contains('@')).then_some(value)
}

impl ImageView {
    fn new(summary: &ImageSummary) -> Option<Self> {
        let SummaryKind::Image(facts) = &summary.kind else { return None };
        let layers = || facts.steps.iter().filter_map(|step| step.layer.as_ref());
        let total = layers().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        Some(Self {
            platform: summary.platforms.first().cloned(),
            is_readable: facts.config.is_some(),
            facts: facts.facts(),
            env: facts.config.as_ref().map(|config| config.env.clone()).unwrap_or_default(),
            labels: facts.config.iter().flat_map(|config| &config.labels).map(Fact::of_pair).collect(),
            steps: facts.steps.iter().map(|step| StepRow::new(step, total)).collect(),
            layer_count: facts.layer_count,
            layers_size: display::size(total),
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
    fn new(step: &Step, total: u64) -> Self {
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

/// The instruction without what the builders put around it.
fn instruction(text: &str) -> &str {
    let text = text.trim().strip_prefix("/bin/sh -c #(nop)").unwrap_or(text).trim();
    text.strip_suffix("# buildkit").unwrap_or(text).trim()
}

impl ChildRow {
    fn new(name: &RepositoryName, facts: &IndexFacts, child: &Child) -> Self {
        let attested = child.attests.as_ref().map(|attested| {
            let image = facts.children.iter().find(|other| other.digest == *attested);
            image.and_then(|image| image.platform.clone()).unwrap_or_else(|| "an image not listed".to_owned())
        });
        let kind = match (&attested, &child.artifact_type) {
            (Some(_), _) => "attestation",
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
        }
    }
}

impl FileRow {
    fn new(file: &ArtifactFile) -> Self {
        Self {
            title: file.title.clone().unwrap_or_else(|| "–".to_owned()),
            media_type: file.blob.media_type.clone(),
            digest: ShownDigest::new(&file.blob.digest),
            size: display::size(file.blob.size),
        }
    }
}

impl ReferrerRow {
    fn new(name: &RepositoryName, referrer: &Referrer) -> Self {
        let cut = |text: &str| text[..text.floor_char_boundary(200)].to_owned();
        let artifact_type = referrer.artifact_type.as_deref().unwrap_or_default();
        let kind = match artifact_kind(artifact_type) {
            "artifact" if !artifact_type.is_empty() => cut(artifact_type),
            known => known.to_owned(),
        };
        let created = referrer.annotations.get("org.opencontainers.image.created");
        Self {
            kind,
            link: Link::new(name, &referrer.digest),
            size: display::size(referrer.size),
            created: created.map(|created| cut(created)),
        }
    }
}

fn suffix(reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => format!(":{tag}"),
        Reference::Digest(digest) => format!("@{}", &digest.encoded()[..12]),
    }
}

/// The manifest as text, and how large it is when that is not all of it.
fn display_of_manifest(bytes: &[u8]) -> (String, Option<String>) {
    let shown = &bytes[..bytes.len().min(SHOWN_MANIFEST)];
    let left_out = (shown.len() < bytes.len()).then(|| display::size(bytes.len() as u64));
    (String::from_utf8_lossy(shown).into_owned(), left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_on_the_web_become_links() {
        for value in ["https://github.com/a/b", "http://example.org/?q=1#x"] {
            assert_eq!(web_address(value), Some(value));
        }
        for value in [
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil.example",
            "HTTPS://x",
            " https://x",
            "https://",
            "https://a b",
            "https://good.example@evil.example/",
            "https://x\u{202e}",
            "https://x\\y",
            "https://x\"onclick=",
            "vbscript:x",
            "",
        ] {
            assert_eq!(web_address(value), None, "{value:?}");
        }
    }

    #[test]
    fn what_builders_add_is_taken_off() {
        assert_eq!(instruction("/bin/sh -c #(nop)  CMD [\"sh\"]"), "CMD [\"sh\"]");
        assert_eq!(instruction("RUN /bin/sh -c make # buildkit"), "RUN /bin/sh -c make");
        assert_eq!(instruction(""), "");
    }

    #[test]
    fn a_large_manifest_is_cut() {
        let (shown, left_out) = display_of_manifest(&vec![b'a'; 100_000]);
        assert_eq!((shown.len(), left_out.as_deref()), (SHOWN_MANIFEST, Some("100 kB")));
        assert_eq!(display_of_manifest(b"{}"), ("{}".to_owned(), None));
    }
}
