//! What names a manifest in a repository: a tag or a digest.

use std::{fmt, str::FromStr};

use super::{Digest, GrammarError, Tag};

/// The `<reference>` of the distribution specification.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// The content itself.
    Digest(Digest),
    /// A name that may be moved to other content.
    Tag(Tag),
}

impl FromStr for Reference {
    type Err = GrammarError;

    /// A text with a colon is an attempt at a digest, never a tag.
    fn from_str(text: &str) -> Result<Self, GrammarError> {
        if text.contains(':') { text.parse().map(Self::Digest) } else { text.parse().map(Self::Tag) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Tag(tag) => tag.fmt(f),
        }
    }
}
