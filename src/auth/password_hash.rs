//! What is stored of a password: a bcrypt hash.

use std::{fmt, str::FromStr, sync::Arc};

use bcrypt::{HashParts, Version};

use super::{Password, PasswordRule};

/// A bcrypt hash in its usual 60 characters, `$2y$10$...`.
///
/// `$2a$`, `$2b$`, `$2x$` and `$2y$` are read and treated alike: they differ only in bugs of old programs, which
/// concern passwords beyond ASCII. `$2y$` is written, which every program that reads htpasswd files knows.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: Arc<str>,
    cost: u32,
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The text is not a bcrypt hash.
    #[error("not a bcrypt hash")]
    NotBcrypt,
    /// The cost is outside what is worked with: [`PasswordHash::COSTS`].
    #[error("the bcrypt cost {0} is outside 4 to 17")]
    Cost(u32),
    /// The password may not be set.
    #[error(transparent)]
    Password(#[from] PasswordRule),
    /// The operating system gave no random bytes for a salt.
    #[error("no random bytes for a salt")]
    Random,
}

impl PasswordHash {
    /// The costs worked with, those of Apache's `htpasswd`: one step more is twice the work, and 18 already
    /// keeps a core busy for many seconds.
    pub const COSTS: std::ops::RangeInclusive<u32> = 4..=17;

    /// Hashes a new password. Blocks for as long as the cost says.
    pub fn create(password: &Password, cost: u32) -> Result<Self, HashError> {
        password.check_new()?;
        if !Self::COSTS.contains(&cost) {
            return Err(HashError::Cost(cost));
        }
        let parts = bcrypt::non_truncating_hash_with_result(password.expose(), cost)
            .map_err(|_| HashError::Random)?;
        Ok(Self { text: parts.format_for_version(Version::TwoY).into(), cost })
    }

    /// A hash of the given cost that no known password has: checking against it costs the same as against a real one.
    pub(super) fn stand_in(cost: u32) -> Self {
        let cost = cost.clamp(*Self::COSTS.start(), *Self::COSTS.end());
        // 22 characters of salt and 31 of hash in bcrypt's alphabet, in which '.' is zero.
        Self { text: format!("$2y${cost:02}${}", ".".repeat(53)).into(), cost }
    }

    /// Whether this is the hash of `password`. Blocks for as long as the cost says, whatever the answer.
    ///
    /// Of a password of more than 72 bytes only the first 72 count, as with every program that writes bcrypt
    /// (`htpasswd -B` takes such a password; Pakhuis does not set one). A NUL is never right: bcrypt repeats
    /// the password with a NUL between, so `"ab\0ab"` would have the hash of `"ab"`.
    pub fn verify(&self, password: &Password) -> bool {
        let same = bcrypt::verify(password.expose(), &self.text).unwrap_or(false);
        same & !password.expose().contains('\0')
    }

    /// The hash as it stands in a file.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The cost: the hash takes 2^cost rounds.
    pub fn cost(&self) -> u32 {
        self.cost
    }
}

impl FromStr for PasswordHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let cost = text.parse::<HashParts>().map_err(|_| HashError::NotBcrypt)?.get_cost();
        if Self::COSTS.contains(&cost) {
            Ok(Self { text: text.into(), cost })
        } else {
            Err(HashError::Cost(cost))
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash(cost {})", self.cost)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn what_is_created_verifies_and_reads_back() {
        let hash = PasswordHash::create(&password("pa:ss"), 4).unwrap();
        assert!(hash.as_str().starts_with("$2y$04$") && hash.as_str().len() == 60);
        assert!(hash.verify(&password("pa:ss")));
        assert!(!hash.verify(&password("pa:sS")) && !hash.verify(&password("")));
        assert_eq!(hash.as_str().parse::<PasswordHash>().unwrap(), hash);
        assert_eq!(format!("{hash:?}"), "PasswordHash(cost 4)");
        let again = PasswordHash::create(&password("pa:ss"), 4).unwrap();
        assert_ne!(again, hash, "every hash has a salt of its own");
    }

    #[test]
    fn a_repeated_password_with_nul_is_not_the_password() {
        let hash = PasswordHash::create(&password("ab"), 4).unwrap();
        assert!(bcrypt::verify("ab\0ab", hash.as_str()).unwrap(), "the trap is there");
        assert!(!hash.verify(&password("ab\0ab")));
    }

    #[test]
    fn only_72_bytes_count_in_a_hash_of_another_program() {
        let long = "a".repeat(80);
        let text = bcrypt::hash_with_result(&long, 4).unwrap().format_for_version(Version::TwoY);
        let hash: PasswordHash = text.parse().unwrap();
        assert!(hash.verify(&password(&long)));
        assert!(hash.verify(&password(&"a".repeat(72))));
        assert!(!hash.verify(&password(&"a".repeat(71))));
    }

    #[test]
    fn the_four_prefixes_are_read_and_nothing_else() {
        let tail = PasswordHash::create(&password("x"), 4).unwrap().as_str()[3..].to_owned();
        for prefix in ["$2a", "$2b", "$2x", "$2y"] {
            let hash: PasswordHash = format!("{prefix}{tail}").parse().unwrap();
            assert!(hash.verify(&password("x")), "{prefix}");
        }
        for text in ["$2z", "$1$", "$2"].map(|prefix| format!("{prefix}{tail}")) {
            assert!(matches!(text.parse::<PasswordHash>(), Err(HashError::NotBcrypt)), "{text}");
        }
        let dear = format!("$2y$18{}", &tail[3..]);
        assert!(matches!(dear.parse::<PasswordHash>(), Err(HashError::Cost(18))));
    }

    #[test]
    fn the_stand_in_is_a_hash_that_takes_its_time() {
        let hash = PasswordHash::stand_in(4);
        assert_eq!(hash.as_str().parse::<PasswordHash>().unwrap(), hash);
        assert!(!hash.verify(&password("")));
        assert_eq!(PasswordHash::stand_in(31).cost(), 17);
    }

    #[test]
    fn new_passwords_and_costs_are_checked() {
        assert!(matches!(PasswordHash::create(&password(""), 4), Err(HashError::Password(_))));
        assert!(matches!(PasswordHash::create(&password(&"a".repeat(72)), 4), Err(HashError::Password(_))));
        assert!(matches!(PasswordHash::create(&password("x"), 3), Err(HashError::Cost(3))));
        assert!(matches!(PasswordHash::create(&password("x"), 18), Err(HashError::Cost(18))));
    }
}
