//! What the tests of real clients have too: finding and running programs, and images made from nothing.

#[allow(dead_code, reason = "shared with the tests of real clients, which need all of it")]
#[path = "../clients/support/program.rs"]
mod commands;
#[allow(dead_code, reason = "shared with the tests of real clients, which need all of it")]
#[path = "../clients/support/image.rs"]
mod image;

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

pub(crate) use commands::{go_tool, program, run};
pub(crate) use image::{Blob, ImageSpec, Layout};

/// A number from the environment.
pub(crate) fn number_from(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// The seed of this run: `PAKHUIS_NFS_SEED`, or a fresh one, printed so that it can be set.
pub(crate) fn seed() -> u64 {
    let seed = number_from("PAKHUIS_NFS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        now.as_secs() ^ u64::from(now.subsec_nanos()) << 20
    });
    println!("PAKHUIS_NFS_SEED={seed}");
    seed
}

/// How many operations each load makes: `PAKHUIS_NFS_OPERATIONS`, or a share that fits into CI.
pub(crate) fn operations() -> usize {
    let share = 300;
    number_from("PAKHUIS_NFS_OPERATIONS")
        .map_or(share, |number| usize::try_from(number).expect("not so many"))
}
