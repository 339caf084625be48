//! Where the page of a manifest leads: what was pushed, and what can be done with it.

use super::rows::PlatformLink;
use crate::{
    oci::{Reference, RepositoryName},
    registry::image_summary::{ImageSummary, SummaryKind},
    ui::{Ui, address, address::Target, visitor::Viewer},
};

/// See the module.
pub(super) struct Links {
    pub(super) raw_manifest: String,
    pub(super) raw_config: Option<String>,
    /// For those who may.
    pub(super) untag: Option<String>,
    /// For those who may.
    pub(super) delete: Option<String>,
}

impl Links {
    /// Of the manifest of `summary`, on whose page the inside of `shown` is seen.
    pub(super) fn new(
        ui: &Ui,
        viewer: &Viewer,
        (name, reference): (&RepositoryName, &Reference),
        summary: &ImageSummary,
        shown: &ImageSummary,
    ) -> Self {
        let path = Target::Image(name.clone(), reference.clone()).path();
        let can_delete = viewer.may_delete(ui, name);
        let action = |which: &str, key: &str, value: &str| {
            let parameters = [("repository", name.as_str()), (key, value)];
            can_delete.then(|| address::with_query(&format!("/ui/-/{which}"), &parameters))
        };
        Self {
            raw_manifest: address::with_query(&path, &[("show", "manifest")]),
            raw_config: raw_config(name, shown),
            untag: match reference {
                Reference::Tag(tag) => action("untag", "tag", tag.as_str()),
                Reference::Digest(_) => None,
            },
            delete: action("delete", "digest", summary.digest.as_str()),
        }
    }
}

/// Where the configuration of an image or artifact is shown.
fn raw_config(name: &RepositoryName, summary: &ImageSummary) -> Option<String> {
    if matches!(summary.kind, SummaryKind::Index(_)) {
        return None;
    }
    let own = Target::Image(name.clone(), Reference::Digest(summary.digest.clone()));
    Some(address::with_query(&own.path(), &[("show", "config")]))
}

/// The same page with each platform of an index.
pub(super) fn platforms(
    target: &Target,
    summary: &ImageSummary,
    shown: Option<&ImageSummary>,
) -> Vec<PlatformLink> {
    let path = target.path();
    let shown = shown.and_then(|image| image.platforms.first());
    let link = |text: &String| PlatformLink {
        href: address::with_query(&path, &[("platform", text)]),
        is_shown: shown == Some(text),
        text: text.clone(),
    };
    summary.platforms.iter().map(link).collect()
}
