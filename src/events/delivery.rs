//! Sends what waits for one target, one event after the other, until it is taken or given up.

use std::{fmt, io, thread, time::Duration};

use super::{
    Target,
    queue::Queue,
    sending::{SendError, Sender},
};
use crate::observability::traffic;

/// Attempts at an event that the target understands and refuses: it would not take it in a week either.
const ATTEMPTS_REFUSED: u32 = 5;

/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Runs for the life of the process. An event that is being sent when the process ends is sent again by the next.
pub(super) fn run(target: &Target, queue: &Queue) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        tracing::error!(target = target.name, "no events are sent: there is no runtime to be had");
        return;
    };
    let mut sender = Sender::new(target.clone());
    let mut failures = Failures::default();
    loop {
        let (number, event) = queue.oldest();
        let (bytes, age) = match event {
            Ok(event) => event,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                give_up(target, queue, number, "its file is gone");
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                give_up(target, queue, number, "only a part of it is there");
                continue;
            }
            // Too many open files, a disk that is away: the next one could not be read either.
            Err(error) => {
                failures.count(target, &format!("cannot read the queue: {error}"));
                thread::sleep(failures.pause(target.longest_pause));
                continue;
            }
        };
        match runtime.block_on(sender.send(&bytes)) {
            Ok(()) => {
                failures.end(target);
                traffic().sent_event();
                if let Err(error) = queue.remove(number) {
                    tracing::error!(target = target.name, %error, "a sent event cannot be removed from the queue");
                }
            }
            Err(error) => {
                let refused = matches!(error, SendError::Refused(_));
                failures.count(target, &error);
                failures.refused += u32::from(refused);
                if failures.refused >= ATTEMPTS_REFUSED {
                    give_up(target, queue, number, "the target refuses it");
                    failures = Failures::default();
                } else if age >= target.give_up {
                    give_up(target, queue, number, "it has waited too long");
                } else {
                    thread::sleep(failures.pause(target.longest_pause));
                }
            }
        }
    }
}

fn give_up(target: &Target, queue: &Queue, number: u64, why: &str) {
    traffic().dead_event();
    match queue.bury(number) {
        Ok(file) => {
            let file = file.display().to_string();
            tracing::error!(target = target.name, file, "an event was given up: {why}");
        }
        Err(error) => {
            tracing::error!(target = target.name, %error, "an event was given up and is lost: {why}");
        }
    }
}

/// The failures since the last success.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
    /// Of these, how often the target said that it does not want the event.
    refused: u32,
}

impl Failures {
    fn count(&mut self, target: &Target, error: &impl fmt::Display) {
        if self.in_a_row == 0 {
            tracing::warn!(target = target.name, %error, "events cannot be delivered; they wait");
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    fn end(&mut self, target: &Target) {
        if self.in_a_row > 0 {
            tracing::info!(target = target.name, failures = self.in_a_row, "events are delivered again");
        }
        *self = Self::default();
    }

    fn pause(&self, longest: Duration) -> Duration {
        FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.in_a_row.saturating_sub(1).min(20))).min(longest)
    }
}
