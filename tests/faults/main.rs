//! The registry on a volume that fails: errors and kills at every system call, full, read-only and hung volumes.
//!
//! Built only when it is named; needs root. `.ci/run` installs what it needs, and a missing program
//! is a failure that names the package, never a skip.
#![allow(clippy::disallowed_methods, reason = "tests write files of their own")]
#![expect(clippy::print_stdout, reason = "measurements belong into the test log")]
#![expect(clippy::print_stderr, reason = "a failing test shows the log of its server")]

mod comparison;
mod doctor;
mod each_call;
mod full;
mod hang_at_call;
mod hung;
mod judgement;
mod late;
mod moved;
#[path = "../shared/program.rs"]
mod program;
#[path = "../shared/random.rs"]
mod random;
mod read_only;
mod requests;
mod running_upload;
mod slow;
mod stale;
mod storm;
#[path = "../shared/strict_file_system/mod.rs"]
mod strict_file_system;
mod support;
