//! The registry as real programs see it: each module drives one client, or one proof that needs a whole server.
#![expect(clippy::print_stdout, reason = "measurements belong into the test log")]
#![expect(clippy::print_stderr, reason = "a failing test shows the log of its server")]

mod support;

mod buildah;
mod containerd;
mod docker;
mod podman;
mod skopeo;
