//! The `Authorization` header of a request as a user name and a password (RFC 7617, UTF-8).

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::{Password, UserName};

/// Some clients leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A user name and a password that were not checked yet. `Debug` shows neither.
#[derive(Clone)]
pub struct Credentials {
    user: UserName,
    password: Password,
}

/// An `Authorization` header that says nothing usable; it is not repeated, for it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Authorization header is not 'Basic' with a user name and a password in base64")]
pub struct InvalidCredentials;

impl Credentials {
    /// Longest header value looked at, in bytes.
    pub const MAX_HEADER_LENGTH: usize = 4096;

    /// Puts together what was typed on a page.
    pub fn new(user: UserName, password: Password) -> Self {
        Self { user, password }
    }

    /// Reads the value of an `Authorization` header.
    ///
    /// `None` is an empty name with an empty password: podman without a login sends that (`Basic Og==`) and
    /// means nobody. The password may hold `:`. Another scheme, another encoding, more than
    /// [`Self::MAX_HEADER_LENGTH`] bytes, or a name that no htpasswd file can hold are [`InvalidCredentials`].
    pub fn from_header(value: &str) -> Result<Option<Self>, InvalidCredentials> {
        if value.len() > Self::MAX_HEADER_LENGTH {
            return Err(InvalidCredentials);
        }
        let (scheme, token) = value.trim_matches([' ', '\t']).split_once(' ').ok_or(InvalidCredentials)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(InvalidCredentials);
        }
        let decoded =
            Zeroizing::new(BASE64.decode(token.trim_start_matches(' ')).map_err(|_| InvalidCredentials)?);
        let text = std::str::from_utf8(&decoded).map_err(|_| InvalidCredentials)?;
        match text.split_once(':').ok_or(InvalidCredentials)? {
            ("", "") => Ok(None),
            (user, password) => Ok(Some(Self {
                user: user.parse().map_err(|_| InvalidCredentials)?,
                password: Password::new(password.to_owned()),
            })),
        }
    }

    /// The name given.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// The password given.
    pub fn password(&self) -> &Password {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn header(text: impl AsRef<[u8]>) -> String {
        format!("Basic {}", BASE64.encode(text))
    }

    #[track_caller]
    fn check(value: &str, user: &str, password: &str) {
        let credentials = Credentials::from_header(value).unwrap().unwrap();
        assert_eq!(credentials.user().as_str(), user);
        assert_eq!(credentials.password().expose(), password);
    }

    #[test]
    fn basic_credentials() {
        check("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame");
        check("Basic dGVzdDoxMjPCow==", "test", "123£");
        check("basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ", "Aladdin", "open sesame");
        check(&header("ana:a:b::c:"), "ana", "a:b::c:");
        check(&header("ana:"), "ana", "");
        check(&header("ana:a\0b"), "ana", "a\0b");
    }

    #[test]
    fn podman_without_a_login_is_nobody() {
        assert!(Credentials::from_header("Basic Og==").unwrap().is_none());
    }

    #[test]
    fn everything_else_is_refused() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "Bearer abc",
            "Basic !!!!",
            "Digest username=\"a\"",
            "BasicQWxh",
            "Basic Og== Og==",
        ] {
            assert!(Credentials::from_header(value).is_err(), "{value:?}");
        }
        for text in ["ana", ":secret", "", "a\nb:x", "a\0:x", "#a:x", " a:x"] {
            assert!(Credentials::from_header(&header(text)).is_err(), "{text:?}");
        }
        assert!(Credentials::from_header(&header(b"ana:\xff")).is_err());
        assert!(Credentials::from_header(&header(format!("ana:{}", "a".repeat(4096)))).is_err());
    }

    #[test]
    fn debug_shows_nothing() {
        let credentials = Credentials::from_header(&header("ana:secret")).unwrap();
        assert_eq!(format!("{credentials:?}"), "Some(Credentials)");
    }
}
