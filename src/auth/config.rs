//! What an operator can choose about signing in.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use super::{AccessRule, UserName};

/// How users are known and how their passwords are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The htpasswd file; `None` runs without authentication: everybody is anonymous and may do everything.
    pub htpasswd: Option<PathBuf>,
    /// Who sees what others did and how the server is, and may do everything.
    pub admins: Vec<UserName>,
    /// What the users may do whom these rules name; the others may do everything but administer.
    pub access: Vec<AccessRule>,
    /// How long a proven credential is remembered. A changed or removed user is out sooner: see `poll_interval`.
    pub cache_lifetime: Duration,
    /// Cost of the stand-in hash against which an unknown user's password is checked while the file has no users.
    pub bcrypt_cost: u32,
    /// How many passwords are hashed at once; `None` is the number of available cores.
    pub concurrent_hashes: Option<NonZeroUsize>,
    /// How many sign-ins may wait for their hash before [`AuthError::Busy`](super::AuthError::Busy).
    pub max_waiting: usize,
    /// How many of those may come from one address (one /64 network for IPv6).
    pub max_waiting_per_address: usize,
    /// How often the htpasswd file is read again.
    pub poll_interval: Duration,
    /// How long the users last read stay valid while the file cannot be read. An absent file has no grace.
    pub read_error_grace: Duration,
    /// The longest that the answer to a wrong password is held back.
    pub max_failure_delay: Duration,
    /// How many requests one user has at once; more are answered 429.
    pub max_requests_per_user: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            htpasswd: None,
            admins: Vec::new(),
            access: Vec::new(),
            cache_lifetime: Duration::from_secs(300),
            bcrypt_cost: 10,
            concurrent_hashes: None,
            max_waiting: 256,
            max_waiting_per_address: 64,
            poll_interval: Duration::from_secs(2),
            read_error_grace: Duration::from_secs(60),
            max_failure_delay: Duration::from_secs(2),
            max_requests_per_user: 1000,
        }
    }
}
