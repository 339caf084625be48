//! The paths above repositories as a tree to open and close, without scripts.

use crate::registry::Namespace;

/// Most paths of a tree: what is below the last level that fits is on the pages of that level.
const MOST: usize = 400;
/// A tree of no more is open from the start.
const OPEN: usize = 30;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Each followed by those below it.
    pub(super) nodes: Vec<Node>,
    pub(super) is_open: bool,
    /// Paths of the first level for which there is no room.
    pub(super) left_out: usize,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) text: String,
    pub(super) href: String,
    pub(super) repositories: usize,
    /// Whether those that follow are below it.
    pub(super) opens: bool,
    /// Whether there are some below it that are not here.
    pub(super) has_more: bool,
    /// How many levels end after it.
    pub(super) closes: usize,
}

impl Tree {
    /// Of `paths`, each followed by those below it, none of which is above level `first`.
    pub(super) fn new(paths: &[&Namespace], first: usize) -> Self {
        let mut counts: Vec<usize> = Vec::new();
        for path in paths {
            let level = path.depth - first;
            counts.resize(counts.len().max(level + 1), 0);
            counts[level] += 1;
        }
        let mut room = MOST.saturating_sub(counts.first().copied().unwrap_or_default());
        let deeper = counts.iter().skip(1).take_while(|count| {
            let fits = **count <= room;
            room = room.saturating_sub(**count);
            fits
        });
        let last = first + deeper.count();
        let is_deeper = |at: usize, than: usize| paths.get(at).is_some_and(|path| path.depth > than);
        let shown: Vec<_> =
            paths.iter().enumerate().filter(|(_, path)| path.depth <= last).take(MOST).collect();
        let node = |(place, (at, path)): (usize, &(usize, &&Namespace))| {
            let next = shown.get(place + 1).map_or(first, |(_, next)| next.depth);
            Node {
                text: path.name().to_owned(),
                href: format!("/ui/r/{}", path.path),
                repositories: path.repositories,
                opens: next > path.depth,
                has_more: next <= path.depth && is_deeper(at + 1, path.depth),
                closes: path.depth.saturating_sub(next),
            }
        };
        let nodes: Vec<_> = shown.iter().enumerate().map(node).collect();
        let left_out = counts.first().map_or(0, |count| count.saturating_sub(MOST));
        Self { is_open: nodes.len() <= OPEN, left_out, nodes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Namespaces;

    fn tree(names: &[&str]) -> Vec<(String, bool, bool, usize)> {
        let all = Namespaces::of(names.iter().copied());
        let nodes = Tree::new(&all.all().iter().collect::<Vec<_>>(), 0).nodes;
        nodes.into_iter().map(|node| (node.href, node.opens, node.has_more, node.closes)).collect()
    }

    #[test]
    fn levels_open_and_close() {
        let shown = tree(&["a/b/c/x", "a/d/y", "e/z"]);
        let expected = [
            ("/ui/r/a", true, false, 0),
            ("/ui/r/a/b", true, false, 0),
            ("/ui/r/a/b/c", false, false, 1),
            ("/ui/r/a/d", false, false, 1),
            ("/ui/r/e", false, false, 0),
        ];
        assert_eq!(shown, expected.map(|(href, opens, more, closes)| (href.to_owned(), opens, more, closes)));
    }

    #[test]
    fn a_level_for_which_there_is_no_room_is_left_to_the_pages_above_it() {
        let names: Vec<_> = (0..500).map(|number| format!("a/b{number:03}/c/x")).collect();
        let shown = tree(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(shown, [("/ui/r/a".to_owned(), false, true, 0)]);
        let names: Vec<_> = (0..500).map(|number| format!("b{number:03}/x")).collect();
        let all = Namespaces::of(names.iter().map(String::as_str));
        let tree = Tree::new(&all.all().iter().collect::<Vec<_>>(), 0);
        assert_eq!((tree.nodes.len(), tree.left_out, tree.is_open), (MOST, 100, false));
    }
}
