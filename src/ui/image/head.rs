//! The head of a manifest's page: its name, and the facts that all kinds have.

use super::{kind::kind, rows::Link, suffix};
use crate::{
    oci::{Reference, RepositoryName},
    registry::image_summary::ImageSummary,
    ui::{
        address::Target,
        display::{self, Moment, ShownDigest},
        repository::{Crumb, crumbs},
    },
};

/// See the module.
pub(super) struct Head {
    pub(super) name: String,
    /// `:tag` or `@digest`, short.
    pub(super) suffix: String,
    /// The reference as it stands in an address.
    pub(super) text: String,
    pub(super) crumbs: Vec<Crumb>,
    pub(super) digest: ShownDigest,
    pub(super) kind: String,
    pub(super) media_type: &'static str,
    pub(super) size: String,
    pub(super) size_range: Option<(String, String)>,
    pub(super) created: Option<Moment>,
    pub(super) subject: Option<Link>,
}

impl Head {
    pub(super) fn new(name: &RepositoryName, reference: &Reference, summary: &ImageSummary) -> Self {
        Self {
            name: name.to_string(),
            suffix: suffix(reference),
            text: Target::Image(name.clone(), reference.clone()).text(),
            crumbs: crumbs(name),
            digest: ShownDigest::new(&summary.digest),
            kind: kind(summary),
            media_type: summary.media_type,
            size: display::size(summary.compressed_size),
            size_range: summary.shown_size_range(),
            created: summary.created.and_then(Moment::new),
            subject: summary.subject.as_ref().map(|subject| Link::new(name, subject)),
        }
    }
}
