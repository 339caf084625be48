//! Whether the volume keeps its promise when the power is cut: a file system that forgets what was not flushed, real
//! requests to the real server on it, and a look at what every cut leaves.
//!
//! Needs `/dev/fuse`, and root or `fusermount3`: `cargo test --test power_loss`.
#![allow(clippy::disallowed_methods, reason = "tests write files of their own")]
#![expect(clippy::print_stdout, reason = "seeds and counts belong into the test log")]

mod check;
mod cuts;
mod history;
mod image;
#[path = "../shared/random.rs"]
mod random;
mod server;
#[path = "../shared/strict_file_system/mod.rs"]
mod strict_file_system;
mod strictness;
mod takeover;
mod traffic;
mod two_clients;
mod two_servers;
