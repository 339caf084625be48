//! Whether a user has this password, by the users as they were read last.

use std::sync::{Arc, atomic::Ordering};

use super::{Gate, Key, reload::Loaded};
use crate::auth::{AuthError, Credentials, PasswordHash, RemoteAddress, UserName};

/// What the users read last say of a credential.
pub(super) struct Judgement {
    /// Those users.
    pub(super) by: Arc<Loaded>,
    pub(super) right: bool,
    /// Whether there is such a user.
    known: bool,
    /// Whether the password was hashed for this request, and not for another or before.
    hashed: bool,
}

impl Gate {
    /// Whether the user exists and has this password.
    pub(super) async fn judge(
        &self,
        credentials: &Credentials,
        remote: RemoteAddress,
    ) -> Result<Judgement, AuthError> {
        let name = credentials.user().as_str();
        let by = self.loaded.load_full();
        let users = by.users().ok_or(AuthError::Unavailable)?;
        let (hash, known) = match users.get(name) {
            Some(hash) => (hash.clone(), true),
            None => (by.stand_in().clone(), false),
        };
        let key = self.keys.credential(credentials, &hash);
        if let Some(answer) = self.remembered(&key) {
            self.remembered.fetch_add(1, Ordering::Relaxed);
            return Ok(Judgement { by, right: answer && known, known, hashed: false });
        }
        let flight = self.flights.join(key);
        let mut hashed = false;
        let proof = async {
            let right = self.prove(key, credentials, &hash, remote).await?;
            hashed = true;
            Ok(right)
        };
        let proven = *flight.cell().get_or_try_init(|| proof).await? && known;
        if proven && hashed {
            record(Some(name), true, remote);
        }
        // The wait may have been long: the user may be gone or have another password by now.
        let now = self.loaded.load();
        let right = proven && now.users().and_then(|users| users.get(name)) == Some(&hash);
        Ok(Judgement { by, right, known, hashed: hashed && !proven })
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

/// A sign-in that failed: counted, and told where its password was hashed, when it is dropped; so also when the client
/// goes away before it has its answer.
pub(super) struct Failure<'a> {
    gate: &'a Gate,
    user: Option<&'a UserName>,
    remote: RemoteAddress,
    hashed: bool,
    counts: bool,
}

impl<'a> Failure<'a> {
    pub(super) fn new(
        gate: &'a Gate,
        judgement: &Judgement,
        user: &'a UserName,
        remote: RemoteAddress,
    ) -> Self {
        let user = judgement.known.then_some(user);
        Self { gate, user, remote, hashed: judgement.hashed, counts: true }
    }

    /// It was judged by users who have changed since.
    pub(super) fn take_back(mut self) {
        self.counts = false;
    }
}

impl Drop for Failure<'_> {
    fn drop(&mut self) {
        if !self.counts {
            return;
        }
        self.gate.rejected.fetch_add(1, Ordering::Relaxed);
        if self.hashed {
            record(self.user.map(UserName::as_str), false, self.remote);
        }
    }
}

/// Writes a sign-in to the audit log: once a hash, not once a request. The name only where there is such a user, since
/// people type passwords there.
fn record(user: Option<&str>, right: bool, remote: RemoteAddress) {
    let outcome = if right { "done" } else { "failed" };
    let remote = tracing::field::display(remote.0);
    tracing::info!(target: "pakhuis::audit", action = "sign-in", outcome, user, remote);
}
