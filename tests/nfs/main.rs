//! The registry on a real NFS mount: several clients, each a guest with a kernel and caches of its own, one server
//! of the registry on each, and nothing sticky between them.
//!
//! Built only when it is named; needs root and the packages of `.ci/run`, no module of the host's
//! kernel. `PAKHUIS_NFS_SEED` repeats the operations of an earlier run, `PAKHUIS_NFS_OPERATIONS` sets their number:
//! `PAKHUIS_NFS_OPERATIONS=5000 cargo test --test nfs -- --nocapture mixed::`.
#![allow(clippy::disallowed_methods, reason = "tests write files of their own")]
#![expect(clippy::print_stdout, reason = "measurements belong into the test log")]
#![expect(clippy::print_stderr, reason = "a failing test shows the logs of its guests")]

#[path = "../shared/guest.rs"]
mod guest;
mod load;
#[path = "../shared/program.rs"]
mod program;
#[path = "../shared/random.rs"]
mod random;
mod rig;
mod support;

mod faults;
mod gate;
mod mixed;
mod visibility;
mod wire;
