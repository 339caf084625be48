//! Keys under which credentials are remembered: without this process's secret they say nothing.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::OpenError;
use crate::auth::{Credentials, PasswordHash, RemoteAddress, UserName};

/// What a credential or a client is remembered by.
pub(super) type Key = [u8; 32];

/// Makes keys: HMAC-SHA256 with a random key that lives as long as the process.
pub(super) struct Keys(Hmac<Sha256>);

impl Keys {
    pub(super) fn random() -> Result<Self, OpenError> {
        let mut secret = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|_| OpenError)?;
        Ok(Self(Hmac::new_from_slice(&*secret).map_err(|_| OpenError)?))
    }

    /// The key of a user name and a password, checked against this hash.
    pub(super) fn credential(&self, credentials: &Credentials, hash: &PasswordHash) -> Key {
        self.key(
            b"credential",
            &[
                credentials.user().as_str().as_bytes(),
                credentials.password().expose().as_bytes(),
                hash.as_str().as_bytes(),
            ],
        )
    }

    /// The key of a user name as used from an address.
    pub(super) fn client(&self, user: &UserName, remote: RemoteAddress) -> Key {
        let network = remote.network().to_string();
        self.key(b"client", &[user.as_str().as_bytes(), network.as_bytes()])
    }

    /// Each part goes in with its length before it, so that no two lists of parts are the same bytes.
    fn key(&self, purpose: &[u8], parts: &[&[u8]]) -> Key {
        let mut mac = self.0.clone();
        for part in std::iter::once(&purpose).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::auth::Password;

    #[test]
    fn a_key_covers_every_part_and_its_place() {
        let keys = Keys::random().unwrap();
        let key = |user: &str, password: &str, cost| {
            let credentials = Credentials::new(user.parse().unwrap(), Password::new(password.to_owned()));
            keys.credential(&credentials, &PasswordHash::stand_in(cost))
        };
        let one = key("ab", "c", 4);
        assert_eq!(one, key("ab", "c", 4));
        for other in
            [key("a", "bc", 4), key("ab", "C", 4), key("Ab", "c", 4), key("ab", "c", 5), key("abc", "", 4)]
        {
            assert_ne!(one, other);
        }
        let elsewhere = Keys::random().unwrap();
        let credentials = Credentials::new("ab".parse().unwrap(), Password::new("c".to_owned()));
        assert_ne!(one, elsewhere.credential(&credentials, &PasswordHash::stand_in(4)));
    }
}
