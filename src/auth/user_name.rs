//! Names of users.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// A user's name as an htpasswd file may hold it: 1 to 255 bytes of UTF-8, without `:` and control characters,
/// not beginning with `#`, no white space at either end. Upper and lower case differ.
///
/// What Pakhuis itself writes is narrower: see [`UserName::check_new`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

/// A text that cannot be a user name; says what one looks like and does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUserName(&'static str);

impl UserName {
    /// Longest name read, in bytes (Apache's own limit).
    pub const MAX_LENGTH: usize = 255;
    /// Longest name written, in bytes.
    pub const MAX_NEW_LENGTH: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether Pakhuis writes this name into a file: `[A-Za-z0-9][A-Za-z0-9._@-]{0,63}`, which every client,
    /// shell and log shows alike.
    pub fn check_new(&self) -> Result<(), InvalidUserName> {
        let bytes = self.0.as_bytes();
        let fits = bytes.len() <= Self::MAX_NEW_LENGTH
            && bytes[0].is_ascii_alphanumeric()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-'));
        if fits {
            Ok(())
        } else {
            Err(InvalidUserName(
                "a new user's name consists of at most 64 letters, digits, '.', '_', '@' and '-', \
                 and begins with a letter or a digit",
            ))
        }
    }
}

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, InvalidUserName> {
        let fits = (1..=Self::MAX_LENGTH).contains(&text.len())
            && !text.starts_with('#')
            && text.trim() == text
            && !text.chars().any(|c| c == ':' || c.is_control());
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(InvalidUserName(
                "a user name has 1 to 255 bytes, no ':' and no control characters, \
                 and does not begin with '#' or white space",
            ))
        }
    }
}

impl Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_narrower_than_what_is_read() {
        let new = |text: &str| text.parse::<UserName>().is_ok_and(|name| name.check_new().is_ok());
        for name in ["a", "Ana", "0", "ana.b_c-d@dccn.nl", &"a".repeat(64)] {
            assert!(new(name), "{name:?} was refused");
        }
        for name in ["", ".ana", "-ana", "@ana", "_ana", "an a", "é", "a/b", "a%b", "a\0", &"a".repeat(65)] {
            assert!(!new(name), "{name:?} was accepted");
        }
        for name in ["Jan Jansen", "é", "a/b", &"a".repeat(255)] {
            assert!(name.parse::<UserName>().is_ok(), "{name:?} was not read");
        }
        for name in ["", "#ana", " ana", "ana ", "a:b", "a\nb", "a\rb", "a\0b", "a\u{9b}b", &"a".repeat(256)]
        {
            assert!(name.parse::<UserName>().is_err(), "{name:?} was read");
        }
    }
}
