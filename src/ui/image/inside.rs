//! The image whose configuration and layers a page shows: the manifest itself, or a child of an index.

use std::sync::Arc;

use super::rows::{ImageView, LayerUses};
use crate::{
    oci::{Digest, RepositoryName},
    registry::{
        Known, RegistryError,
        image_summary::{Child, ImageSummary, SummaryKind},
    },
    ui::{Ui, response::Failure, sight::Sight, visitor::Viewer},
};

/// Images shown of those that have a layer.
const SHOWN_USES: usize = 12;

impl Ui {
    /// The image whose inside is shown: the manifest itself, or the child of an index that was asked for, or
    /// its only one.
    pub(in crate::ui) async fn chosen_image(
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

    /// A child of an index; an index may list what is not stored here.
    pub(super) async fn child(
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

    /// Configuration and layers of an image on the page of `digest`, which may list it.
    pub(super) async fn inside(
        &self,
        viewer: &Viewer,
        image: Option<&ImageSummary>,
        digest: &Digest,
    ) -> Result<Option<ImageView>, Failure> {
        let Some(image) = image else { return Ok(None) };
        Ok(ImageView::new(image, &self.layer_uses(viewer, image, digest).await?))
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
}
