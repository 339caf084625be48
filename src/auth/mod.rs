//! Who is asking, and may they: credentials, the htpasswd file, the check of a password, and the policy.
//!
//! The order of a request: [`Credentials::from_header`], [`Authenticator::authenticate`], then
//! [`Policy::authorize`] with what the request wants to do.

mod access_rule;
mod concurrency;
mod config;
mod credentials;
pub mod htpasswd;
mod password;
mod password_hash;
mod policy;
mod remote_address;
mod user_name;
mod verifier;

pub use access_rule::{AccessRule, Pattern};
pub use concurrency::{Concurrency, Slot};
pub use config::Config;
pub use credentials::{Credentials, InvalidCredentials};
pub use password::{Password, PasswordRule};
pub use password_hash::{HashError, PasswordHash};
pub use policy::{Access, Decision, Policy};
pub use remote_address::{RemoteAddress, TrustedPeer};
pub use user_name::{InvalidUserName, UserName};
pub use verifier::{Authenticator, ChangeError, OpenError, Place, SignIns};

/// Who a request comes from, once that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Nobody in particular: only where the registry runs without authentication.
    Anonymous,
    /// A user of the htpasswd file whose password was right.
    User(UserName),
}

/// Why somebody is not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There were no credentials and the registry wants some (401 with a challenge).
    #[error("authentication required")]
    Missing,
    /// The user does not exist or the password is wrong; which of the two is not told (401 with a challenge).
    #[error("the user name or the password is wrong")]
    Rejected,
    /// Too many passwords wait to be checked; trying again later helps (503).
    #[error("too many sign-ins at once")]
    Busy,
    /// The user file cannot be read, so that nobody can be checked (503).
    #[error("sign-in is not available")]
    Unavailable,
}
