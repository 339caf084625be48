//! A line of the log that there could be thousands of in a second.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long there is no second line.
const PAUSE: Duration = Duration::from_secs(60);

/// Counts what a line tells of, and says when there may be one: at the first, and once a minute while there are more.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// Counts; how many there were since the last line when there may be another now.
    pub fn count(&self, more: u64) -> Option<u64> {
        self.count_at(more, Instant::now())
    }

    fn count_at(&self, more: u64, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.untold += more;
        if state.told.is_some_and(|told| now.duration_since(told) < PAUSE) {
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_then_how_many_there_were_in_a_minute() {
        let (seldom, begin) = (Seldom::default(), Instant::now());
        let at = |second: u64, more| seldom.count_at(more, begin + Duration::from_secs(second));
        assert_eq!(
            [at(0, 2), at(1, 3), at(59, 4), at(60, 5), at(61, 6)],
            [Some(2), None, None, Some(12), None]
        );
        assert_eq!(at(600, 0), Some(6));
    }
}
