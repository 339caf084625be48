//! Pauses before the answer to a wrong password, longer with each failure.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;

use super::{Key, MAX_REMEMBERED};

/// The pause after a first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How long failures are held against a client that has stopped failing.
const MEMORY: Duration = Duration::from_secs(15 * 60);

/// Counts the failures of a user name from an address. It is asked only after a failure, so it cannot keep a
/// right password waiting.
pub(super) struct Slowdown {
    failures: Cache<Key, Arc<AtomicU32>>,
    /// Whether anybody ever failed: until then, mostly, no client need be looked up.
    any: AtomicBool,
    longest: Duration,
}

impl Slowdown {
    pub(super) fn new(longest: Duration) -> Self {
        let failures = Cache::builder().max_capacity(MAX_REMEMBERED).time_to_idle(MEMORY).build();
        Self { failures, any: AtomicBool::new(false), longest }
    }

    /// A client got in: its failures were typing errors.
    pub(super) fn forget(&self, client: impl FnOnce() -> Key) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let client = client();
        if self.failures.contains_key(&client) {
            self.failures.invalidate(&client);
        }
    }

    /// Counts a failure, and says how long its answer is to be held back.
    pub(super) fn count(&self, client: Key) -> Duration {
        self.any.store(true, Ordering::Relaxed);
        let count = self.failures.get_with(client, Arc::default);
        // Saturates far above the longest pause.
        let before = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some((n + 1).min(20)));
        let doublings = before.unwrap_or_default();
        FIRST_PAUSE.saturating_mul(1 << doublings).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_end_with_a_success() {
        let slowdown = Slowdown::new(Duration::from_secs(2));
        let pauses = |key, n| (0..n).map(|_| slowdown.count([key; 32]).as_millis()).collect::<Vec<_>>();
        assert_eq!(pauses(1, 7), [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(pauses(1, 100).last(), Some(&2000));
        assert_eq!(pauses(2, 1), [100], "another client is not held to account");
        slowdown.forget(|| [1; 32]);
        assert_eq!(pauses(1, 1), [100]);
    }
}
