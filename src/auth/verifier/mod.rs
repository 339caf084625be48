//! Checks who somebody says to be: bcrypt off the async threads, and as seldom as safety allows.
//!
//! A request without proven credentials takes this way: key of the credential ([`keys`]), remembered proofs and
//! failures, one flight per key ([`flights`]), a place in the queue ([`queue`]), one hash ([`judgement`]), and after a
//! failure a look at the file ([`looks`]) and a pause ([`slowdown`]). [`reload`] follows the file.

mod change_password;
mod flights;
mod judgement;
mod keys;
mod looks;
mod queue;
mod reload;
mod slowdown;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

pub use change_password::ChangeError;

use self::{
    flights::Flights,
    judgement::Failure,
    keys::{Key, Keys},
    looks::Looks,
    queue::Queue,
    reload::Loaded,
    slowdown::Slowdown,
};
use super::{AuthError, Concurrency, Config, Credentials, Identity, RemoteAddress, Slot, UserName};

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
    /// How many answers came from what is remembered.
    remembered: AtomicU64,
    /// How many answers were no.
    rejected: AtomicU64,
    requests: Concurrency<UserName>,
    max_requests_per_user: AtomicUsize,
    /// Wakes whoever follows the file, to read it.
    at_once: Notify,
    looks: Looks,
}

/// The right of one request to be worked on; given back on drop.
pub struct Place {
    _slot: Option<Slot<UserName>>,
}

/// What the check of passwords has done, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignIns {
    /// Passwords hashed since the start.
    pub hashed: u64,
    /// Answers given from memory since the start.
    pub remembered: u64,
    /// Wrong passwords and unknown users since the start.
    pub rejected: u64,
    /// Those that wait for their hash now, and those being hashed.
    pub waiting: u64,
    /// Proven credentials in memory.
    pub cached: u64,
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
            remembered: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            requests: Concurrency::default(),
            max_requests_per_user: AtomicUsize::new(config.max_requests_per_user),
            at_once: Notify::new(),
            looks: Looks::default(),
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

    /// What was done since the start, and what is under way; all zero where nobody signs in.
    pub fn sign_ins(&self) -> SignIns {
        let Some(gate) = &self.gate else { return SignIns::default() };
        SignIns {
            hashed: gate.hashed.load(Ordering::Relaxed),
            remembered: gate.remembered.load(Ordering::Relaxed),
            rejected: gate.rejected.load(Ordering::Relaxed),
            waiting: gate.queue.len() as u64,
            cached: gate.proven.entry_count(),
        }
    }

    /// A place for one more request of a user; `None` when there are as many as one user may have. Who is anonymous
    /// is not counted here.
    pub fn admit(&self, identity: &Identity) -> Option<Place> {
        let (Some(gate), Identity::User(name)) = (&self.gate, identity) else {
            return Some(Place { _slot: None });
        };
        let slot = gate.requests.take(name, gate.max_requests_per_user.load(Ordering::Relaxed))?;
        Some(Place { _slot: Some(slot) })
    }

    /// Changes how many requests one user may have at once.
    pub fn set_max_requests_per_user(&self, most: usize) {
        if let Some(gate) = &self.gate {
            gate.max_requests_per_user.store(most, Ordering::Relaxed);
        }
    }

    /// Says who the client is.
    ///
    /// A wrong password and an unknown user take the same work and give the same [`AuthError::Rejected`], after a
    /// pause that grows with the failures of this user name from this address. A right password never waits for
    /// that pause, whoever failed before. Who was added, or given another password, since the file was read last gets
    /// in too, as long as [`Self::watch`] runs. Dropping the future is safe at any point.
    pub async fn authenticate(
        &self,
        credentials: Option<&Credentials>,
        remote: RemoteAddress,
    ) -> Result<Identity, AuthError> {
        let Some(gate) = &self.gate else {
            return Ok(Identity::Anonymous);
        };
        let credentials = credentials.ok_or(AuthError::Missing)?;
        let client = || gate.keys.client(credentials.user(), remote);
        let right = || {
            gate.slowdown.forget(client);
            Ok(Identity::User(credentials.user().clone()))
        };
        let first = gate.judge(credentials, remote).await?;
        if first.right {
            return right();
        }
        let failure = Failure::new(gate, &first, credentials.user(), remote);
        let pause = tokio::time::Instant::now() + gate.slowdown.count(client());
        gate.looks.one_from_now().await;
        if !Arc::ptr_eq(&first.by, &gate.loaded.load()) {
            failure.take_back();
            let second = gate.judge(credentials, remote).await?;
            if second.right {
                return right();
            }
            drop(Failure::new(gate, &second, credentials.user(), remote));
        } else {
            drop(failure);
        }
        tokio::time::sleep_until(pause).await;
        Err(AuthError::Rejected)
    }
}
