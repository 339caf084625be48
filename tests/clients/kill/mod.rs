//! `kill -9` of servers at random moments while images are being pushed.
//!
//! `PAKHUIS_KILL_SEED` repeats the pushes and the moments of an earlier run, `PAKHUIS_KILL_ROUNDS` sets the number of
//! rounds with one server, `PAKHUIS_KILL_ANY_ROUNDS` that with three.

mod image;
mod one_server;
mod three_servers;
mod volume;

/// Where the seed of an earlier run is given.
const SEED: &str = "PAKHUIS_KILL_SEED";
