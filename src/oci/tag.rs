//! Tags: the human-readable names of manifests in a repository.

use std::{fmt, str::FromStr, sync::Arc};

use super::GrammarError;

/// A tag as the distribution specification defines it: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`, case-sensitive.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Longest tag accepted, in bytes.
    pub const MAX_LENGTH: usize = 128;

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` follows the grammar of tags, without making one.
    pub fn is_tag(text: &str) -> bool {
        let bytes = text.as_bytes();
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        bytes.len() <= Self::MAX_LENGTH
            && bytes.first().is_some_and(|b| word(*b))
            && bytes.iter().all(|b| word(*b) || matches!(b, b'.' | b'-'))
    }
}

impl FromStr for Tag {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        if Self::is_tag(text) {
            Ok(Self(text.into()))
        } else {
            Err(GrammarError(
                "a tag consists of at most 128 letters, digits, '_', '.' and '-', and does not begin with '.' or '-'",
            ))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_grammar() {
        for tag in ["a", "1", "_", "latest", "V1.2-rc_3", "sha256-0123", "x.sig"] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag:?} was refused");
        }
        assert!("a".repeat(128).parse::<Tag>().is_ok());
        for tag in ["", ".a", "-a", "a/b", "a:b", "a b", "a\n", "é", "..", "a\0b", "a%2e"] {
            assert!(tag.parse::<Tag>().is_err(), "{tag:?} was accepted");
        }
        assert!("a".repeat(129).parse::<Tag>().is_err());
    }
}
