//! Repository names: path components of lower-case letters and digits, joined by slashes.

use std::{fmt, str::FromStr, sync::Arc};

use super::GrammarError;

/// A repository name as the distribution specification defines `<name>`.
///
/// Each component matches `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`; the whole is at most 255 bytes, the limit of
/// the clients and of a path component on the file systems we write to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Arc<str>);

impl RepositoryName {
    /// Longest name accepted, in bytes.
    pub const MAX_LENGTH: usize = 255;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components between the slashes; at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether `text` could be one component of a name.
    pub fn is_component(text: &str) -> bool {
        let mut rest = text.as_bytes();
        loop {
            let word = rest.iter().take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit()).count();
            if word == 0 {
                return false;
            }
            rest = &rest[word..];
            if rest.is_empty() {
                return true;
            }
            match separator_length(rest) {
                0 => return false,
                length => rest = &rest[length..],
            }
        }
    }
}

/// Length of the separator at the start of `rest`: `.`, `_`, `__` or any number of `-`; 0 when there is none.
fn separator_length(rest: &[u8]) -> usize {
    match rest {
        [b'_', b'_', ..] => 2,
        [b'.' | b'_', ..] => 1,
        _ => rest.iter().take_while(|b| **b == b'-').count(),
    }
}

impl FromStr for RepositoryName {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(GrammarError("a repository name has at most 255 characters"));
        }
        if !text.split('/').all(Self::is_component) {
            return Err(GrammarError(
                "a repository name consists of lower-case letters and digits, separated by '.', '_', '__', '-' or '/'",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_grammar() {
        for name in ["a", "a/b", "library/alpine", "a/b.c/d--e/f__g", "0/1-2", "blobs/uploads", "a---b"] {
            assert_eq!(name.parse::<RepositoryName>().map(|n| n.to_string()), Ok(name.to_owned()));
        }
        assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
    }

    #[test]
    fn refuses_what_is_outside_it() {
        for name in [
            "", "/", "a/", "/a", "a//b", "A", "a_", "_a", "a___b", "a..b", "..", "../a", "a/../b", "a.",
            ".a", "-a", "a-", "a_-b", "a\0", "a b", "é", "a%2Fb", "a:b", "a@b", "_catalog",
        ] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name:?} was accepted");
        }
        assert!("a".repeat(256).parse::<RepositoryName>().is_err());
    }
}
