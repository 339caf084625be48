//! Follows the htpasswd file by reading it every few seconds: notifications do not tell of what another NFS
//! client wrote, and time stamps come from caches. The file is small, so it is read whole and compared. In between it
//! is looked at when a sign-in fails ([`looks`](super::looks)), and read if it is another by its stamp.

use std::{
    io,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{Authenticator, Gate};
use crate::auth::{
    PasswordHash,
    htpasswd::{self, Stamp, Users},
};

/// What is known of the file.
pub(super) struct Loaded {
    state: State,
    /// Stands in for the hash of a user who does not exist, at the cost of those who do.
    stand_in: PasswordHash,
}

enum State {
    /// Read, with this text; an absent file has no users.
    Read { users: Users, text: Option<Vec<u8>>, whole: bool },
    /// It cannot be read, and what was read last is too old to rely on.
    Unavailable,
}

impl Loaded {
    /// The state at the start, when there is no earlier one to fall back on.
    pub(super) fn first(file: &Path, usual_cost: u32) -> Self {
        match read(file) {
            Ok(text) => Self::of(file, text, usual_cost),
            Err(error) => {
                tracing::error!(file = %file.display(), %error, "cannot read the user file; nobody can sign in");
                Self::unavailable(usual_cost)
            }
        }
    }

    /// The users, unless the file cannot be read.
    pub(super) fn users(&self) -> Option<&Users> {
        match &self.state {
            State::Read { users, .. } => Some(users),
            State::Unavailable => None,
        }
    }

    /// Whether every line of the file could be used.
    fn is_whole(&self) -> bool {
        matches!(&self.state, State::Read { whole: true, .. })
    }

    pub(super) fn stand_in(&self) -> &PasswordHash {
        &self.stand_in
    }

    /// Takes a new text and reports what is wrong with it; called once per change.
    fn of(file: &Path, text: Option<Vec<u8>>, usual_cost: u32) -> Self {
        let (users, problems) = Users::parse(text.as_deref().unwrap_or_default());
        let file = file.display();
        match &text {
            Some(_) => tracing::info!(%file, users = users.len(), "read the user file"),
            None => tracing::warn!(%file, "there is no user file; nobody can sign in"),
        }
        let whole = problems.is_empty() && text.is_some();
        for problem in problems {
            tracing::warn!(%file, "{problem}");
        }
        let stand_in = PasswordHash::stand_in(users.usual_cost().unwrap_or(usual_cost));
        Self { state: State::Read { users, text, whole }, stand_in }
    }

    fn unavailable(usual_cost: u32) -> Self {
        Self { state: State::Unavailable, stand_in: PasswordHash::stand_in(usual_cost) }
    }

    fn has_text(&self, text: Option<&[u8]>) -> bool {
        matches!(&self.state, State::Read { text: known, .. } if known.as_deref() == text)
    }
}

impl Authenticator {
    /// Reads the file now, as far as it is followed.
    pub fn look_at_once(&self) {
        if let Some(gate) = &self.gate {
            gate.at_once.notify_one();
        }
    }

    /// Follows the htpasswd file until `shutdown`. To be spawned once, beside the server.
    ///
    /// A change counts after [`poll_interval`](crate::auth::Config::poll_interval), also for credentials that
    /// were proven before; a new user and a new password count at once. An absent file has no users. While the file
    /// cannot be read, also because the file server hangs, the users last read remain for
    /// [`read_error_grace`](crate::auth::Config::read_error_grace); then nobody gets in until it can be read.
    ///
    /// `told` hears of each change whether it was taken whole, and `false` when the file cannot be read any more.
    pub async fn watch(&self, shutdown: CancellationToken, told: impl Fn(bool)) {
        let follow = async {
            match &self.gate {
                Some(gate) => follow(gate, told).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = follow => {}
        }
    }
}

async fn follow(gate: &Arc<Gate>, told: impl Fn(bool)) {
    let mut looks = gate.looks.follow();
    let mut last_read = Instant::now();
    let mut next_reading = last_read + gate.config.poll_interval;
    let mut failing = false;
    let mut known = None;
    loop {
        let whole = tokio::select! {
            () = tokio::time::sleep_until(next_reading.into()) => true,
            () = gate.at_once.notified() => true,
            () = looks.due() => false,
        };
        // To the end of this round.
        let _look = gate.looks.begin();
        let file = gate.file.clone();
        let mut before = gate.loaded.load_full();
        let unless = if whole { None } else { known };
        let mut reading = tokio::task::spawn_blocking(move || read_changed(&file, unless));
        let deadline = (last_read + gate.config.read_error_grace).into();
        let outcome = tokio::select! {
            outcome = &mut reading => outcome,
            () = tokio::time::sleep_until(deadline) => {
                gate.close("the file server does not answer");
                before = gate.loaded.load_full();
                // A second read would only hang beside the first.
                reading.await
            }
        };
        if whole {
            next_reading = Instant::now() + gate.config.poll_interval;
        }
        match outcome.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(None) => {}
            Ok(Some((stamp, text))) => {
                known = Some(stamp);
                last_read = Instant::now();
                if !before.has_text(text.as_deref()) {
                    let loaded = Loaded::of(&gate.file, text, gate.config.bcrypt_cost);
                    let is_whole = loaded.is_whole();
                    if gate.take(&before, loaded) {
                        told(is_whole);
                    }
                } else if failing {
                    tracing::info!(file = %gate.file.display(), "the user file can be read again");
                }
                failing = false;
            }
            Err(error) => {
                if !failing {
                    told(false);
                    let grace = gate.config.read_error_grace;
                    tracing::warn!(file = %gate.file.display(), %error, ?grace, "cannot read the user file");
                }
                (failing, known) = (true, None);
                if last_read.elapsed() >= gate.config.read_error_grace {
                    gate.close("it could not be read for too long");
                }
            }
        }
    }
}

impl Gate {
    /// Takes what was read, unless a page has changed the file since: that is newer, and the next reading takes what is
    /// left. Every failure is a new question then, of whoever is not in the file too.
    fn take(&self, before: &Arc<Loaded>, loaded: Loaded) -> bool {
        let found = self.loaded.compare_and_swap(before, Arc::new(loaded));
        let taken = Arc::ptr_eq(&found, before);
        if taken {
            self.failed.invalidate_all();
        }
        taken
    }

    /// Lets nobody in any more; says so once.
    fn close(&self, why: &str) {
        if self.loaded.load().users().is_some() {
            tracing::error!(file = %self.file.display(), "nobody can sign in: {why}");
            self.loaded.store(Arc::new(Loaded::unavailable(self.config.bcrypt_cost)));
        }
    }
}

/// The stamp of a file that is there, and the text.
type Found = (Option<Stamp>, Option<Vec<u8>>);

/// Reads the file unless it still has the stamp that is known. The stamp is taken first, so that what is written
/// while it is read shows at the next look. Blocks.
fn read_changed(file: &Path, known: Option<Option<Stamp>>) -> io::Result<Option<Found>> {
    let stamp = match htpasswd::stamp(file) {
        Ok(stamp) => Some(stamp),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if known == Some(stamp) {
        return Ok(None);
    }
    Ok(Some((stamp, read(file)?)))
}

/// The text of the file, `None` when it is absent.
fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    /// An editor that renames the old file away before it writes the new one needs no longer.
    const SECOND_LOOK: Duration = Duration::from_millis(200);
    let look = || match htpasswd::read(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    match look()? {
        Some(text) => Ok(Some(text)),
        None => {
            thread::sleep(SECOND_LOOK);
            look()
        }
    }
}
