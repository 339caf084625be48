//! A password in memory: never shown, overwritten when it is no longer needed.

use std::fmt;

use zeroize::Zeroizing;

/// A password as somebody typed or sent it.
///
/// `Debug` prints nothing of it and there is no `Display`. Its memory is overwritten on drop; copies that the
/// network layer, the compiler or the allocator made before are out of reach.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// Why a password is not taken as a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRule {
    /// It is empty.
    #[error("a password has at least one character")]
    Empty,
    /// It has 72 bytes or more: bcrypt looks at the first 72 only, the rest would protect nothing.
    #[error("a password has at most 71 bytes, because bcrypt ignores what follows")]
    TooLong,
    /// It has a character that ends a password for some program on the way.
    #[error("a password has no line end and no NUL character")]
    Unusable,
}

impl Password {
    /// Longest password that can be set, in bytes.
    pub const MAX_NEW_LENGTH: usize = 71;

    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this may be set as a password. One that was set by another program is never held to this.
    pub fn check_new(&self) -> Result<(), PasswordRule> {
        if self.0.is_empty() {
            Err(PasswordRule::Empty)
        } else if self.0.contains(['\0', '\n', '\r']) {
            Err(PasswordRule::Unusable)
        } else if self.0.len() > Self::MAX_NEW_LENGTH {
            Err(PasswordRule::TooLong)
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_a_new_password() {
        let check = |text: &str| Password::new(text.to_owned()).check_new();
        for password in ["x", " ", "a:b", "pässwörd", "tab\there", &"a".repeat(71)] {
            assert_eq!(check(password), Ok(()), "{password:?}");
        }
        assert_eq!(check(""), Err(PasswordRule::Empty));
        assert_eq!(check("a\0b"), Err(PasswordRule::Unusable));
        assert_eq!(check("a\nb"), Err(PasswordRule::Unusable));
        assert_eq!(check("a\r"), Err(PasswordRule::Unusable));
        assert_eq!(check(&"a".repeat(72)), Err(PasswordRule::TooLong));
        assert_eq!(check(&"é".repeat(36)), Err(PasswordRule::TooLong));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Password::new("secret".to_owned())), "Password");
    }
}
