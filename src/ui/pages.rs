//! A list in pages: which rows are shown, and the links to the others.

/// Rows of one page.
pub(super) const PAGE_ROWS: usize = 100;

/// The links below a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// First and last row shown, from 1, and how many there are.
    pub(super) range: Option<(usize, usize, usize)>,
    pub(super) first: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    pub(super) last: Option<String>,
}

impl Pages {
    /// The page of `total` rows that is asked for, and its links; `address` makes one of a page's number.
    pub(super) fn of(
        total: usize,
        wanted: usize,
        address: impl Fn(&str) -> String,
    ) -> (std::ops::Range<usize>, Self) {
        let count = total.div_ceil(PAGE_ROWS).max(1);
        let page = wanted.min(count);
        let start = (page - 1) * PAGE_ROWS;
        let end = (start + PAGE_ROWS).min(total);
        let link =
            |number: usize| address(if number == 1 { String::new() } else { number.to_string() }.as_str());
        let pages = Self {
            range: (count > 1).then_some((start + 1, end, total)),
            first: (page > 2).then(|| link(1)),
            previous: (page > 1).then(|| link(page - 1)),
            next: (page < count).then(|| link(page + 1)),
            last: (page + 1 < count).then(|| link(count)),
        };
        (start..end, pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_their_neighbours() {
        let of = |total, page| Pages::of(total, page, |number| format!("?page={number}"));
        assert_eq!(of(0, 1), (0..0, Pages::default()));
        assert_eq!(of(100, 9).1, Pages::default());
        let (rows, pages) = of(1005, 3);
        assert_eq!((rows, pages.range), (200..300, Some((201, 300, 1005))));
        assert_eq!((pages.first.as_deref(), pages.previous.as_deref()), (Some("?page="), Some("?page=2")));
        assert_eq!((pages.next.as_deref(), pages.last.as_deref()), (Some("?page=4"), Some("?page=11")));
        let (rows, pages) = of(1005, 99);
        assert_eq!((rows, pages.next, pages.last), (1000..1005, None, None));
    }
}
