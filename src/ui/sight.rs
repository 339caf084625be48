//! What a viewer may see, to be asked for many repositories away from the request.

use std::ops::Range;

use super::{Ui, visitor::Viewer};
use crate::{auth::Pattern, oci::RepositoryName, registry::Catalogue};

/// See the module. By the rules as they were when it was made: it lives as long as a request.
#[derive(Clone)]
pub(super) struct Sight(Vec<Pattern>);

impl Sight {
    pub(super) fn of(ui: &Ui, viewer: &Viewer) -> Self {
        Self(ui.policy.readable(viewer.identity()))
    }

    /// Whether the viewer may see what any repository holds.
    pub(super) fn sees_all(&self) -> bool {
        self.0.contains(&Pattern::All)
    }

    /// Whether the viewer may see what a repository holds.
    pub(super) fn sees(&self, repository: &RepositoryName) -> bool {
        self.0.iter().any(|pattern| pattern.covers(repository))
    }

    /// The places of all rows of a catalogue that the viewer may see: what is below a path is one range of them, so
    /// that not each is asked about.
    pub(super) fn places(&self, catalogue: &Catalogue) -> Vec<Range<usize>> {
        let range = |pattern: &Pattern| match pattern {
            Pattern::All => 0..catalogue.rows().len(),
            Pattern::Below(path) => catalogue.below(path),
            Pattern::One(name) => catalogue.place(name).map_or(0..0, |place| place..place + 1),
        };
        let mut ranges: Vec<_> = self.0.iter().map(range).filter(|range| !range.is_empty()).collect();
        ranges.sort_by_key(|range| range.start);
        let mut apart: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match apart.last_mut().filter(|last| range.start <= last.end) {
                Some(last) => last.end = last.end.max(range.end),
                None => apart.push(range),
            }
        }
        apart
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::registry::CatalogueRow;

    #[test]
    fn ranges_hold_what_the_patterns_cover() {
        let names = ["a", "a/b", "a/b/c", "a/d", "a-b/c", "lab/mri/x", "lab/tool", "z"];
        let row = |name: &str| Arc::new(CatalogueRow { name: name.parse().unwrap(), facts: None });
        let catalogue = Catalogue::of(names.map(row));
        let (below, one) = (
            |path: &str| Pattern::Below(path.parse().unwrap()),
            |name: &str| Pattern::One(name.parse().unwrap()),
        );
        for patterns in [
            vec![],
            vec![Pattern::All, one("a")],
            vec![one("z"), below("a"), below("a/b"), one("a/d")],
            vec![one("a"), one("a/b"), below("lab/mri"), below("none"), one("none")],
            vec![below("a-b"), below("z"), one("lab")],
        ] {
            let sight = Sight(patterns);
            let seen: Vec<_> = sight.places(&catalogue).into_iter().flatten().collect();
            let asked: Vec<_> =
                (0..names.len()).filter(|place| sight.sees(&catalogue.rows()[*place].name)).collect();
            assert_eq!(seen, asked, "{:?}", sight.0);
        }
    }
}
