//! Two images side by side: what differs in their configuration and layers, and what a host with one must fetch for the
//! other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Ui, address,
    address::Target,
    display::{self, ShownDigest},
    fields::Fields,
    image::{PageLink, looks_secret},
    repository::{Crumb, crumbs},
    response::Failure,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::{Digest, RepositoryName},
    registry::image_summary::{ImageConfig, ImageFacts, ImageSummary, Layer, SummaryKind},
};

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    frame: Frame,
    crumbs: Vec<Crumb>,
    a: Side,
    b: Side,
    /// Platforms that both have, as links, and the one that is compared.
    platforms: Vec<PageLink>,
    platform: String,
    same: bool,
    fetch: String,
    reuse: String,
    differences: Vec<Difference>,
    layers: Vec<LayerRow>,
    /// Layers that are not listed but counted.
    more_layers: Option<String>,
    swap: String,
}

struct Side {
    text: String,
    href: String,
    digest: ShownDigest,
    size: String,
}

struct Difference {
    name: String,
    a: Option<String>,
    b: Option<String>,
    is_secret: bool,
}

struct LayerRow {
    digest: ShownDigest,
    size: String,
    place: &'static str,
}

/// The page: `a` and `b`, or `repository` and two `tag`s.
pub(super) async fn show(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    viewer.answer(page(&ui, &viewer, &fields).await)
}

async fn page(ui: &Ui, viewer: &Viewer, fields: &Fields) -> Result<ComparePage, Failure> {
    let (a, b) = asked(fields).ok_or(Failure::TwoImages)?;
    let (a, b) = (Chosen::find(ui, viewer, a).await?, Chosen::find(ui, viewer, b).await?);
    let common: Vec<&String> =
        a.whole.platforms.iter().filter(|one| b.whole.platforms.contains(one)).collect();
    let wanted = fields.get("platform");
    let platform = if wanted.is_empty() { common.first().map_or("", |first| first.as_str()) } else { wanted };
    let here = |a: &Chosen, b: &Chosen, platform: &str| {
        let parameters = [("a", &*a.target.text()), ("b", &*b.target.text()), ("platform", platform)];
        address::with_query("/ui/compare", &parameters)
    };
    let (one, other) = (a.image(ui, platform).await?, b.image(ui, platform).await?);
    let (facts, others) = (image_facts(&one)?, image_facts(&other)?);
    let (fetch, reuse) = transfer(&one, &other);
    let more = unlisted(facts) + unlisted(others);
    Ok(ComparePage {
        platforms: common
            .iter()
            .filter(|_| common.len() > 1)
            .map(|text| PageLink { text: (*text).clone(), href: here(&a, &b, text) })
            .collect(),
        platform: platform.to_owned(),
        same: one.digest == other.digest,
        fetch: display::size(fetch),
        reuse: display::size(reuse),
        differences: differences(facts.config.as_deref(), others.config.as_deref()),
        layers: layers(&one, facts, &other, others),
        more_layers: (more > 0).then(|| display::counted(more, "layer", "layers")),
        swap: here(&b, &a, wanted),
        a: a.side(&one),
        b: b.side(&other),
        crumbs: crumbs(&a.name),
        frame: viewer.frame.clone(),
    })
}

fn asked(fields: &Fields) -> Option<(Target, Target)> {
    if let (Some(a), Some(b)) = (Target::parse(fields.get("a")), Target::parse(fields.get("b"))) {
        return Some((a, b));
    }
    let (repository, mut tags) = (fields.get("repository"), fields.all("tag"));
    let mut next = || Target::parse(&format!("{repository}:{}", tags.next()?));
    let pair = (next()?, next()?);
    if next().is_some() { None } else { Some(pair) }
}

/// An image that was asked for.
struct Chosen {
    target: Target,
    name: RepositoryName,
    whole: Arc<ImageSummary>,
}

impl Chosen {
    async fn find(ui: &Ui, viewer: &Viewer, target: Target) -> Result<Self, Failure> {
        let Target::Image(name, reference) = &target else { return Err(Failure::TwoImages) };
        if !viewer.may_see(ui, name) {
            return Err(Failure::NotFound);
        }
        let digest = ui.registry.resolve(name, reference).await?;
        let whole = ui.registry.image_summary(name, &digest).await?;
        Ok(Self { name: name.clone(), whole, target })
    }

    /// The image itself, or the child of an index for a platform.
    async fn image(&self, ui: &Ui, platform: &str) -> Result<Arc<ImageSummary>, Failure> {
        let platform = if matches!(self.whole.kind, SummaryKind::Index(_)) { platform } else { "" };
        ui.chosen_image(&self.name, &self.whole, platform).await?.ok_or(Failure::TwoImages)
    }

    fn side(&self, image: &ImageSummary) -> Side {
        Side {
            text: self.target.text(),
            href: self.target.path(),
            digest: ShownDigest::new(&self.whole.digest),
            size: display::size(image.compressed_size),
        }
    }
}

fn image_facts(summary: &ImageSummary) -> Result<&ImageFacts, Failure> {
    if let SummaryKind::Image(facts) = &summary.kind { Ok(facts) } else { Err(Failure::TwoImages) }
}

fn layer_list(facts: &ImageFacts) -> impl Iterator<Item = &Layer> {
    facts.steps.iter().filter_map(|step| step.layer.as_ref())
}

/// Bytes that a host with `one` fetches for `other`, and those that it has already.
fn transfer(one: &ImageSummary, other: &ImageSummary) -> (u64, u64) {
    if one.digest == other.digest {
        return (0, other.compressed_size);
    }
    let there = digests(one);
    let (have, fetch): (Vec<_>, Vec<_>) = other.blobs.iter().partition(|(digest, _)| there.contains(digest));
    let sum = |blobs: &[&(Digest, u64)]| blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.1));
    (sum(&fetch).saturating_add(other.manifest_size), sum(&have))
}

/// All that an image needs: its steps have only the first of many layers.
fn digests(image: &ImageSummary) -> BTreeSet<&Digest> {
    image.blobs.iter().map(|(digest, _)| digest).collect()
}

fn layers(one: &ImageSummary, a: &ImageFacts, other: &ImageSummary, b: &ImageFacts) -> Vec<LayerRow> {
    let row = |layer: &Layer, place| LayerRow {
        digest: ShownDigest::new(&layer.digest),
        size: display::size(layer.size),
        place,
    };
    let (in_a, in_b) = (digests(one), digests(other));
    let mut rows: Vec<_> = layer_list(b)
        .map(|layer| row(layer, if in_a.contains(&layer.digest) { "both" } else { "only B" }))
        .collect();
    rows.extend(
        layer_list(a).filter(|layer| !in_b.contains(&layer.digest)).map(|layer| row(layer, "only A")),
    );
    rows
}

/// Layers of an image that are not listed.
fn unlisted(facts: &ImageFacts) -> usize {
    facts.layer_count.saturating_sub(layer_list(facts).count())
}

fn differences(a: Option<&ImageConfig>, b: Option<&ImageConfig>) -> Vec<Difference> {
    let (a, b) = (a.map(entries).unwrap_or_default(), b.map(entries).unwrap_or_default());
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differs = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
    differs
        .map(|name| {
            let (a, b) = (a.get(name).cloned(), b.get(name).cloned());
            let plain = name.split_once(' ').map_or(name.as_str(), |(_, plain)| plain);
            let is_secret = a.iter().chain(&b).any(|value| looks_secret(plain, value));
            Difference { name: name.clone(), a, b, is_secret }
        })
        .collect()
}

/// A configuration as names and values.
fn entries(config: &ImageConfig) -> BTreeMap<String, String> {
    let list = |words: &[String]| words.join(" ");
    let fields = [
        ("entrypoint", list(&config.entrypoint)),
        ("command", list(&config.cmd)),
        ("user", config.user.clone()),
        ("working directory", config.working_directory.clone()),
        ("ports", list(&config.ports)),
        ("volumes", list(&config.volumes)),
        ("stop signal", config.stop_signal.clone()),
        ("platform", format!("{}/{}", config.os, config.architecture)),
    ];
    let mut entries: BTreeMap<String, String> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for variable in &config.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        entries.insert(format!("env {name}"), value.to_owned());
    }
    entries.extend(config.labels.iter().map(|(name, value)| (format!("label {name}"), value.clone())));
    entries
}
