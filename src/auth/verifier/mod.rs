//! Checks who somebody says to be: bcrypt off the async threads, and as seldom as safety allows.
//!
//! A request without proven credentials takes this way: key of the credential ([`keys`]), remembered proofs and
//! failures, one flight per key ([`flights`]), a place in the queue ([`queue`]), one hash, and after a failure a
//! pause ([`slowdown`]). [`reload`] follows the file.

mod change_password;
mod flights;
mod keys;
mod queue;
mod reload;
mod slowdown;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

pub use change_password::ChangeError;

use self::{
    flights::Flights,
    keys::{Key, Keys},
    queue::Queue,
    reload::Loaded,
    slowdown::Slowdown,
};
use super::{AuthError, Config, Credentials, Identity, PasswordHash, RemoteAddress};

/// Most proven credentials remembered, and most failed ones.
const MAX_REMEMBERED: u64 = 10_000;

/// How long the same wrong password for the same hash is refused without hashing again: a client with a typo
/// tries five times for each of many layers.
const FAILURE_LIFETIME: Duration = Duration::from_secs(60);

/// Checks credentials against the htpasswd file. Cloning is cheap; all clones share what they remember.
#[derive(Clone)]
pub struct Authenticator {
    /// `None` runs without authentication.
    gate: Option<Arc<Gate>>,
}

/// Why there is no [`Authenticator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct OpenError;

struct Gate {
    config: Config,
    file: std::path::PathBuf,
    loaded: ArcSwap<Loaded>,
    keys: Keys,
    proven: Cache<Key, ()>,
    failed: Cache<Key, ()>,
    flights: Flights,
    queue: Queue,
    slowdown: Slowdown,
    /// How many passwords were hashed since the start.
    hashed: AtomicU64,
}

impl Authenticator {
    /// Reads the htpasswd file for the first time, and so blocks. A file that is absent or cannot be read is no
    /// error: nobody gets in until [`Self::watch`] finds one that can.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let Some(file) = config.htpasswd.clone() else {
            return Ok(Self { gate: None });
        };
        let remember =
            |lifetime| Cache::builder().max_capacity(MAX_REMEMBERED).time_to_live(lifetime).build();
        let gate = Gate {
            loaded: ArcSwap::from_pointee(Loaded::first(&file, config.bcrypt_cost)),
            keys: Keys::random()?,
            proven: remember(config.cache_lifetime),
            failed: remember(FAILURE_LIFETIME),
            flights: Flights::default(),
            queue: Queue::new(&config),
            slowdown: Slowdown::new(config.max_failure_delay),
            hashed: AtomicU64::new(0),
            file,
            config,
        };
        Ok(Self { gate: Some(Arc::new(gate)) })
    }

    /// Whether users have to sign in at all.
    pub fn requires_sign_in(&self) -> bool {
        self.gate.is_some()
    }

    /// How many users could sign in now; `None` when the file cannot be read or nobody has to sign in.
    pub fn user_count(&self) -> Option<usize> {
        self.gate.as_ref()?.loaded.load().users().map(super::htpasswd::Users::len)
    }

    /// What a session of the pages is bound to: a digest of the user's stored hash, the same on every server. `None`
    /// when there is no such user, or nobody can be checked now. A session ends with the password it began with.
    pub fn session_stamp(&self, user: &str) -> Option<[u8; 32]> {
        let loaded = self.gate.as_ref()?.loaded.load();
        let hash = loaded.users()?.get(user)?;
        Some(Sha256::digest([b"pakhuis session\0", hash.as_str().as_bytes()].concat()).into())
    }

    /// How many passwords were hashed since the start: for metrics, and to see that the memory works.
    pub fn hash_count(&self) -> u64 {
        self.gate.as_ref().map_or(0, |gate| gate.hashed.load(Ordering::Relaxed))
    }

    /// Says who the client is.
    ///
    /// A wrong password and an unknown user take the same work and give the same [`AuthError::Rejected`], after a
    /// pause that grows with the failures of this user name from this address. A right password never waits for
    /// that pause, whoever failed before. Dropping the future is safe at any point.
    pub async fn authenticate(
        &self,
        credentials: Option<&Credentials>,
        remote: RemoteAddress,
    ) -> Result<Identity, AuthError> {
        let Some(gate) = &self.gate else {
            return Ok(Identity::Anonymous);
        };
        let credentials = credentials.ok_or(AuthError::Missing)?;
        if gate.is_right(credentials, remote).await? {
            gate.slowdown.forget(gate.keys.client(credentials.user(), remote));
            return Ok(Identity::User(credentials.user().clone()));
        }
        gate.slowdown.pause(gate.keys.client(credentials.user(), remote)).await;
        Err(AuthError::Rejected)
    }
}

impl Gate {
    /// Whether the user exists and has this password.
    async fn is_right(&self, credentials: &Credentials, remote: RemoteAddress) -> Result<bool, AuthError> {
        let name = credentials.user().as_str();
        let (hash, known) = {
            let loaded = self.loaded.load();
            let users = loaded.users().ok_or(AuthError::Unavailable)?;
            match users.get(name) {
                Some(hash) => (hash.clone(), true),
                None => (loaded.stand_in().clone(), false),
            }
        };
        let key = self.keys.credential(credentials, &hash);
        if let Some(answer) = self.remembered(&key) {
            return Ok(answer && known);
        }
        let flight = self.flights.join(key);
        let right = *flight.cell().get_or_try_init(|| self.prove(key, credentials, &hash, remote)).await?;
        // The wait may have been long: the user may be gone or have another password by now.
        let loaded = self.loaded.load();
        Ok(right && known && loaded.users().and_then(|users| users.get(name)) == Some(&hash))
    }

    /// What is known of this credential. The key covers the stored hash, so a changed password or a new user is
    /// a new question, and a remembered failure can never refuse a right password.
    fn remembered(&self, key: &Key) -> Option<bool> {
        if self.proven.get(key).is_some() { Some(true) } else { self.failed.get(key).map(|()| false) }
    }

    /// Hashes the password when its turn comes, and remembers the answer.
    async fn prove(
        &self,
        key: Key,
        credentials: &Credentials,
        hash: &PasswordHash,
        remote: RemoteAddress,
    ) -> Result<bool, AuthError> {
        // The flight before this one may have landed between our look and our start.
        if let Some(answer) = self.remembered(&key) {
            return Ok(answer);
        }
        let turn = self.queue.turn(remote).await?;
        self.hashed.fetch_add(1, Ordering::Relaxed);
        let (password, hash) = (credentials.password().clone(), hash.clone());
        let right = tokio::task::spawn_blocking(move || {
            let right = hash.verify(&password);
            // Held by the hashing itself, which goes on when the client has gone away.
            drop(turn);
            right
        })
        .await
        .map_err(|_| AuthError::Unavailable)?;
        if right { &self.proven } else { &self.failed }.insert(key, ());
        Ok(right)
    }
}
