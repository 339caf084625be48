//! An image, index or artifact: how to use it, what it is, what it is made of.

mod kind;
mod rows;

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
    oci::{Reference, RepositoryName},
    registry::{
        RegistryError,
        image_summary::{ArtifactFacts, Child, ImageSummary, SummaryKind},
    },
};
use kind::artifact_kind;
pub(super) use kind::kind;
use rows::{ChildRow, Fact, FileRow, ImageView, Link, PlatformLink, ReferrerRow};

/// Most of a manifest shown, in bytes.
const SHOWN_MANIFEST: usize = 64 * 1024;
/// Most referrers listed.
const SHOWN_REFERRERS: usize = 100;

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
    fn a_large_manifest_is_cut() {
        let (shown, left_out) = display_of_manifest(&vec![b'a'; 100_000]);
        assert_eq!((shown.len(), left_out.as_deref()), (SHOWN_MANIFEST, Some("100 kB")));
        assert_eq!(display_of_manifest(b"{}"), ("{}".to_owned(), None));
    }
}
