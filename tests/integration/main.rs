//! The registry as clients meet it: one binary, its modules mirror the source.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests write files of their own")]

mod auth;
mod bad_input;
mod blobs;
mod client_bugs;
mod doctor;
mod damage;
mod inherited_volume;
mod manifests;
mod process;
#[path = "../shared/random.rs"]
mod random;
mod referrers;
mod support;
mod tags;
mod ui;
mod uploads;
