//! `kill -9` of servers at random moments while images are being pushed.
//!
//! `PAKHUIS_KILL_SEED` repeats the pushes and the moments of an earlier run, `PAKHUIS_KILL_ROUNDS` sets the number of
//! rounds with one server, `PAKHUIS_KILL_ANY_ROUNDS` that with three.

mod image;
mod one_server;
mod three_servers;
mod volume;

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// The seed asked for, or a new one.
fn seed() -> u64 {
    number_from("PAKHUIS_KILL_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        now.as_secs() ^ u64::from(now.subsec_nanos()) << 20
    })
}

fn number_from(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// splitmix64: any number is a good seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
