//! What the tests of real clients have too, and what the environment says about a run.

#[allow(dead_code, reason = "shared with the tests of real clients, which need all of it")]
#[path = "../clients/support/image.rs"]
mod image;

pub(crate) use crate::program::{go_tool, program, program_under_test, run};
use crate::random::{number_from, seed_from};
pub(crate) use image::{Blob, ImageSpec, Layout};

/// The seed of this run: `PAKHUIS_NFS_SEED`, or a fresh one, printed so that it can be set.
pub(crate) fn seed() -> u64 {
    let seed = seed_from("PAKHUIS_NFS_SEED");
    println!("PAKHUIS_NFS_SEED={seed}");
    seed
}

/// How many operations a load of ours makes: `PAKHUIS_NFS_OPERATIONS`, or as many as the project has set itself.
pub(crate) fn operations() -> usize {
    operations_or(1_000)
}

/// How many registry:2 makes beside it, which takes twice as long for each.
pub(crate) fn operations_beside() -> usize {
    operations_or(250)
}

fn operations_or(number: usize) -> usize {
    number_from("PAKHUIS_NFS_OPERATIONS")
        .map_or(number, |number| usize::try_from(number).expect("not so many"))
}
