//! The registry as real programs see it: each module drives one client, or one proof that needs a whole server.
//!
//! Built only when it is named; `.ci/run` installs what they need. A missing program is a
//! failure that names the package, never a skip. A test name is the module and what a user would say:
//! `cargo test --test clients -- crane::`.
#![allow(clippy::disallowed_methods, reason = "tests write files of their own")]
#![allow(clippy::unwrap_used, reason = "a test fails where it is not as it thinks")]
#![expect(clippy::print_stdout, reason = "measurements belong into the test log")]
#![expect(clippy::print_stderr, reason = "a failing test shows the log of its server")]

#[path = "../shared/guest.rs"]
mod guest;
#[path = "../shared/program.rs"]
mod program;
#[path = "../shared/random.rs"]
mod random;
mod support;

mod administration;
mod buildah;
mod conformance;
mod containerd;
mod crane;
mod distribution;
mod docker;
mod files;
mod hostile;
mod htpasswd;
mod kill;
mod newcomer;
mod node;
mod oras;
mod page_budget;
mod pages;
mod podman;
mod regctl;

mod rss;
mod sessions;
mod skopeo;
mod swarm;
mod systemd;
