//! An image, index or artifact: how to use it, what it is, what it is made of.

mod dockerfile;
mod download;
mod fact;
mod history;
mod kind;
mod raw;
mod rows;
mod secrets;
mod surroundings;

use std::sync::Arc;

use askama::Template;

use super::{
    Ui, address,
    address::Target,
    commands::{self, Tool},
    display::{self, Moment, ShownDigest},
    fields::Fields,
    repository::{Crumb, crumbs},
    response::Failure,
    sight::Sight,
    visitor::{Frame, Viewer},
};
use crate::{
    oci::{Digest, Reference, RepositoryName},
    registry::{
        Known, RegistryError, RepositoryView,
        image_summary::{ArtifactFacts, Child, ImageSummary, SummaryKind},
    },
};
pub(super) use download::download;
pub(super) use fact::Fact;
use history::HistoryRow;
use kind::artifact_kind;
pub(super) use kind::{kind, kind_of_view, short_kind};
pub(super) use raw::page as raw_page;
pub(super) use rows::PageLink;
use rows::{ChildRow, FileRow, ImageView, LayerUses, Link, PlatformLink};
pub(super) use secrets::looks_secret;
use surroundings::Surroundings;

/// Images shown of those that have a layer.
const SHOWN_USES: usize = 12;

#[derive(Template)]
#[template(path = "image.html")]
pub(super) struct ImagePage {
    frame: Frame,
    name: String,
    /// `:tag` or `@digest`, short.
    suffix: String,
    title: String,
    /// The reference as it stands in an address.
    text: String,
    crumbs: Vec<Crumb>,
    digest: ShownDigest,
    kind: String,
    media_type: &'static str,
    size: String,
    size_range: Option<(String, String)>,
    created: Option<Moment>,
    subject: Option<Link>,
    platforms: Vec<PlatformLink>,
    tools: Vec<Tool>,
    /// The image whose configuration and layers are shown; of an index, the child that was chosen.
    image: Option<ImageView>,
    children: Vec<ChildRow>,
    children_left_out: usize,
    details: Vec<Fact>,
    files: Vec<FileRow>,
    files_left_out: usize,
    annotations: Vec<Fact>,
    around: Surroundings,
    /// When the tag was written, and by whom, where that is known.
    pushed: Option<(Option<Moment>, Option<String>)>,
    history: Vec<HistoryRow>,
    raw_manifest: String,
    raw_config: Option<String>,
    untag: Option<String>,
    delete: Option<String>,
}

/// The page of a manifest. `platform` chooses a child of an index.
pub(super) async fn page(
    ui: &Ui,
    viewer: &Viewer,
    name: &RepositoryName,
    reference: &Reference,
    fields: &Fields,
) -> Result<ImagePage, Failure> {
    if !viewer.may_see(ui, name) {
        return Err(Failure::NotFound);
    }
    let digest = ui.registry.resolve(name, reference).await?;
    let summary = ui.registry.image_summary(name, &digest).await?;
    let chosen = ui.chosen_image(name, &summary, fields.get("platform")).await?;
    let target = Target::Image(name.clone(), reference.clone());
    let path = target.path();
    let shown_platform = chosen.as_ref().and_then(|image| image.platforms.first());
    let platform_link = |text: &String| PlatformLink {
        href: address::with_query(&path, &[("platform", text)]),
        is_shown: shown_platform == Some(text) && chosen.is_some(),
        text: text.clone(),
    };
    let image = match &chosen {
        Some(image) => ImageView::new(image, &ui.layer_uses(viewer, image, &digest).await?),
        None => None,
    };
    let view = ui.registry.repository_view(name).await?;
    let (seen, own, named) = (view.clone(), digest.clone(), reference.clone());
    let around = ui.registry.compute(move || Surroundings::of(&seen, &own, &named)).await?;
    let (children, children_left_out) = ui.children(name, &summary).await?;
    let (files, files_left_out) = summary.files();
    let can_delete = viewer.may_delete(ui, name);
    let action = |which: &str, key: &str, value: &str| {
        can_delete.then(|| {
            address::with_query(&format!("/ui/-/{which}"), &[("repository", name.as_str()), (key, value)])
        })
    };
    Ok(ImagePage {
        frame: viewer.frame.clone(),
        name: name.to_string(),
        suffix: suffix(reference),
        title: format!("{name}{}", suffix(reference)),
        crumbs: crumbs(name),
        digest: ShownDigest::new(&digest),
        kind: kind(&summary),
        media_type: summary.media_type,
        size: display::size(summary.compressed_size),
        size_range: summary.shown_size_range(),
        created: summary.created.and_then(Moment::new),
        subject: summary.subject.as_ref().map(|subject| Link::new(name, subject)),
        platforms: summary.platforms.iter().map(platform_link).collect(),
        tools: summary.tools(&viewer.frame.host, name, reference),
        image,
        children,
        children_left_out,
        details: summary.details(),
        files,
        files_left_out,
        annotations: summary.annotations.iter().map(Fact::of_pair).collect(),
        around,
        pushed: ui.pushed(&view, reference).await?,
        history: history::of(ui, name, reference).await?,
        raw_manifest: address::with_query(&path, &[("show", "manifest")]),
        raw_config: raw_config(name, chosen.as_deref().unwrap_or(&summary)),
        untag: match reference {
            Reference::Tag(tag) => action("untag", "tag", tag.as_str()),
            Reference::Digest(_) => None,
        },
        delete: action("delete", "digest", digest.as_str()),
        text: target.text(),
    })
}

/// Where the configuration of an image or artifact is shown.
fn raw_config(name: &RepositoryName, summary: &ImageSummary) -> Option<String> {
    if matches!(summary.kind, SummaryKind::Index(_)) {
        return None;
    }
    let own = Target::Image(name.clone(), Reference::Digest(summary.digest.clone()));
    Some(address::with_query(&own.path(), &[("show", "config")]))
}

impl Ui {
    /// The image whose inside is shown: the manifest itself, or the child of an index that was asked for, or
    /// its only one.
    pub(super) async fn chosen_image(
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
        self.child(name, &child.digest).await
    }

    /// When a tag was written and by whom, by the same rule as in the list of tags; nothing of a digest.
    async fn pushed(
        &self,
        view: &Arc<RepositoryView>,
        reference: &Reference,
    ) -> Result<Option<(Option<Moment>, Option<String>)>, Failure> {
        let Reference::Tag(tag) = reference else { return Ok(None) };
        let known = view.tag(tag).cloned().into_iter().collect();
        let fresh = self.registry.fresh_tags(view, known).await?.pop();
        Ok(fresh.map(|(tag, entry)| (Moment::of_system(tag.pushed), entry.and_then(|entry| entry.user))))
    }

    /// A child of an index; an index may list what is not stored here.
    async fn child(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Arc<ImageSummary>>, Failure> {
        match self.registry.image_summary(name, digest).await {
            Ok(image) => Ok(Some(image)),
            Err(RegistryError::ManifestUnknown(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The other images of each layer of one, as far as the viewer may see them.
    async fn layer_uses(
        &self,
        viewer: &Viewer,
        image: &ImageSummary,
        digest: &Digest,
    ) -> Result<Known<Vec<LayerUses>>, Failure> {
        let SummaryKind::Image(facts) = &image.kind else {
            return Ok(Known { found: Vec::new(), is_complete: true, lacks_room: false });
        };
        let layers: Vec<_> = facts
            .steps
            .iter()
            .filter_map(|step| step.layer.as_ref())
            .map(|layer| layer.digest.clone())
            .collect();
        let sight = Sight::of(self, viewer);
        let wanted = move |name: &RepositoryName| sight.sees(name);
        let uses = self.registry.layer_uses(&layers, digest, SHOWN_USES, wanted).await?;
        let found = uses.found.iter().map(LayerUses::new).collect();
        Ok(Known { found, is_complete: uses.is_complete, lacks_room: uses.lacks_room })
    }

    /// What an index lists; what attests an image stands under it. And how many are left out.
    async fn children(
        &self,
        name: &RepositoryName,
        summary: &ImageSummary,
    ) -> Result<(Vec<ChildRow>, usize), Failure> {
        let SummaryKind::Index(facts) = &summary.kind else { return Ok((Vec::new(), 0)) };
        let mut rows = Vec::new();
        for child in in_order(&facts.children) {
            let predicates = match &child.attests {
                Some(_) => self.child(name, &child.digest).await?.map(|found| found.predicates()),
                None => None,
            };
            rows.push(ChildRow::new(name, facts, child, predicates.unwrap_or_default()));
        }
        let left_out = facts.child_count.saturating_sub(rows.len());
        Ok((rows, left_out))
    }
}

/// Images, each followed by what attests it, then what attests an image that is not listed.
fn in_order(children: &[Child]) -> Vec<&Child> {
    let (attesting, images): (Vec<&Child>, Vec<&Child>) =
        children.iter().partition(|child| child.attests.is_some());
    let mut ordered: Vec<&Child> = Vec::new();
    for image in images {
        ordered.push(image);
        ordered.extend(attesting.iter().filter(|child| child.attests.as_ref() == Some(&image.digest)));
    }
    let listed = |child: &Child| children.iter().any(|other| Some(&other.digest) == child.attests.as_ref());
    ordered.extend(attesting.iter().filter(|child| !listed(child)));
    ordered
}

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
    fn predicates(&self) -> Vec<String> {
        let SummaryKind::Artifact(facts) = &self.kind else { return Vec::new() };
        facts.files.iter().filter_map(|file| file.predicate.as_deref()).map(predicate_name).collect()
    }

    /// What the configuration of an artifact says.
    fn details(&self) -> Vec<Fact> {
        let SummaryKind::Artifact(facts) = &self.kind else { return Vec::new() };
        let artifact_type = ("artifact type".to_owned(), facts.artifact_type.clone());
        std::iter::once(&artifact_type).chain(&facts.details).map(Fact::of_pair).collect()
    }

    fn files(&self) -> (Vec<FileRow>, usize) {
        let SummaryKind::Artifact(ArtifactFacts { files, file_count, .. }) = &self.kind else {
            return (Vec::new(), 0);
        };
        (files.iter().map(FileRow::new).collect(), file_count - files.len())
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

pub(super) fn suffix(reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => format!(":{tag}"),
        Reference::Digest(digest) => format!("@{}", &digest.encoded()[..12]),
    }
}
