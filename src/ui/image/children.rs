//! What an index lists, each image followed by what attests it.

use super::rows::{ChildRow, Part};
use crate::{
    oci::RepositoryName,
    registry::image_summary::{Child, ImageSummary, SummaryKind},
    ui::{Ui, response::Failure},
};

/// The rows of an index; none of anything else.
pub(super) async fn of(
    ui: &Ui,
    name: &RepositoryName,
    summary: &ImageSummary,
) -> Result<Part<ChildRow>, Failure> {
    let mut shown = Vec::new();
    let SummaryKind::Index(facts) = &summary.kind else { return Ok(Part { shown, left_out: 0 }) };
    for child in in_order(&facts.children) {
        let predicates = match &child.attests {
            Some(_) => ui.child(name, &child.digest).await?.map(|found| found.predicates()),
            None => None,
        };
        shown.push(ChildRow::new(name, facts, child, predicates.unwrap_or_default()));
    }
    let left_out = facts.child_count.saturating_sub(shown.len());
    Ok(Part { shown, left_out })
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
