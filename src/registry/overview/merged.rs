//! Sorted lists into which something comes.

use std::cmp::Ordering;

/// A sorted list with some more put in, each after what is equal to it. Costs few comparisons where few come.
pub(super) fn merged<T: Clone>(
    sorted: &[T],
    mut more: Vec<T>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Vec<T> {
    more.sort_by(&compare);
    let mut all = Vec::with_capacity(sorted.len() + more.len());
    let mut rest = sorted;
    for new in more {
        let (before, after) = rest.split_at(rest.partition_point(|old| compare(old, &new).is_le()));
        all.extend_from_slice(before);
        all.push(new);
        rest = after;
    }
    all.extend_from_slice(rest);
    all
}
