//! Looks at the user file because a sign-in failed: whoever was added a moment ago gets in at once.
//!
//! The file is followed by reading it every few seconds ([`reload`](super::reload)). Until then a new user, or one with
//! a new password, would be refused. So a sign-in that failed has the file looked at, and is judged once more when the
//! users have changed. Anybody can have sign-ins fail, so:
//!
//! - **A look costs little, and there is one each [`EVERY`] at most**, however many sign-ins fail. The task that
//!   follows the file makes it, between its readings, so that there is never a second one beside it, nor a thread more
//!   when the file server hangs. Directory and file are opened, as only that makes an NFS client ask the server, and
//!   the file's size, number and times are taken; only one that differs is read. Who fails meanwhile shares the next
//!   look.
//! - **Only a look that began after the failure counts**: what was in the file before the client asked is seen. Who
//!   failed waits for it, for [`EVERY`] and what a look takes, and for [`PATIENCE`] when it does not end.
//! - **It does not tell which users there are.** A name that is in the file and one that is not take the same steps in
//!   the same order: a hash (that of the stand-in for who is not there) or the memory of it, a count of failures, a
//!   look, and a hash again if the file has changed, for whichever line it was: failures are forgotten then. How long
//!   the look is waited for depends on when the last one was, not on the name; and the pause after a failure runs
//!   meanwhile.
//! - **A right password waits for no look**, so a flood of wrong ones does not delay it. Hence who was removed, and an
//!   old password, are refused when the file is read the next time, as ever.
//! - **A failure is counted before the look**: to go away while it is waited for saves no pause and no line of the
//!   audit log. Only who is judged by other users then is as if never refused.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};

/// The least time between the beginnings of two looks that failed sign-ins caused.
pub(super) const EVERY: Duration = Duration::from_millis(200);

/// How long a look is waited for: the file server may hang.
const PATIENCE: Duration = Duration::from_secs(1);

/// What those who failed and the task that follows the file know of each other.
#[derive(Default)]
pub(super) struct Looks {
    wanted: Notify,
    /// Looks and readings begun since the start.
    begun: AtomicU64,
    /// The last one that ended.
    ended: watch::Sender<u64>,
    /// Whether anybody makes them.
    followed: AtomicBool,
}

impl Looks {
    /// Waits for a look that begins from now on; not at all where nobody follows the file.
    pub(super) async fn one_from_now(&self) {
        if !self.followed.load(Ordering::SeqCst) {
            return;
        }
        let mut ended = self.ended.subscribe();
        let next = self.begun.load(Ordering::SeqCst) + 1;
        self.wanted.notify_one();
        // Whoever could not wait any longer is judged by what is known.
        let _ = timeout(PATIENCE, ended.wait_for(|ended| *ended >= next)).await;
    }

    #[cfg(test)]
    pub(super) fn is_followed(&self) -> bool {
        self.followed.load(Ordering::SeqCst)
    }

    #[cfg(test)]
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// To be held by whoever follows the file.
    pub(super) fn follow(&self) -> Following<'_> {
        self.followed.store(true, Ordering::SeqCst);
        Following { looks: self, not_before: Instant::now() }
    }

    /// A look, or a reading, begins; it ends when what is returned is dropped.
    pub(super) fn begin(&self) -> Look<'_> {
        Look { looks: self, number: self.begun.fetch_add(1, Ordering::SeqCst) + 1 }
    }
}

/// Somebody makes the looks.
pub(super) struct Following<'a> {
    looks: &'a Looks,
    /// When the next one may begin because of a failure.
    not_before: Instant,
}

impl Following<'_> {
    /// Waits until somebody wants a look and one may begin. A wish that is forgotten by dropping this is met by the
    /// reading for which it was dropped.
    pub(super) async fn due(&mut self) {
        self.looks.wanted.notified().await;
        sleep_until(self.not_before).await;
        self.not_before = Instant::now() + EVERY;
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.looks.followed.store(false, Ordering::SeqCst);
    }
}

/// A look under way.
pub(super) struct Look<'a> {
    looks: &'a Looks,
    number: u64,
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.looks.ended.send_replace(self.number);
    }
}
