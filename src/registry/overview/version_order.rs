//! Tags in the order of the versions they name.

/// A part of a tag: numbers are compared as numbers, and come after words, so that `1.0-rc1` is below `1.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Text before a `-` ends a version: what follows is a pre-release.
    PreRelease,
    /// The end.
    End,
    /// A word.
    Word(String),
    /// A number, by its length without leading zeros and then by its digits.
    Number(usize, String),
}

/// What a tag is ordered by; a leading `v` does not count.
pub(super) fn version_key(tag: &str) -> Vec<Part> {
    let text = tag.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let mut rest = text.unwrap_or(tag);
    let mut parts = Vec::new();
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let same = |c: char| c.is_ascii_digit() == is_digit && !matches!(c, '.' | '_' | '-' | '+');
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        if is_digit {
            let digits = part.trim_start_matches('0');
            parts.push(Part::Number(digits.len(), digits.to_owned()));
        } else if !part.is_empty() {
            parts.push(Part::Word(part.to_owned()));
        }
        rest = after;
        if let Some(after) = rest.strip_prefix(['.', '_', '-', '+']) {
            let is_version = matches!(parts.first(), Some(Part::Number(..)));
            if rest.starts_with('-') && is_version && after.starts_with(|c: char| c.is_ascii_alphabetic()) {
                parts.push(Part::PreRelease);
            }
            rest = after;
        }
    }
    parts.push(Part::End);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_their_order() {
        let ordered = [
            "latest",
            "main",
            "1.0-alpha",
            "1.0-rc1",
            "1.0-rc2",
            "1.0-rc10",
            "v1.0",
            "v1.0.1",
            "1.2",
            "1.9",
            "v1.10",
            "2",
            "10",
            "2024-01-02",
            "20240103",
        ];
        let mut sorted = ordered;
        sorted.sort_by_key(|tag| version_key(tag));
        assert_eq!(sorted, ordered);
    }
}
