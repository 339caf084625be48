//! The registry against a model of the specification: random requests to up to three servers on one volume, every
//! answer compared.
//!
//! `specification` is the model: a few maps in memory, written from the distribution specification and our documents,
//! using nothing of ours. `sequential` sends one request after another, each to a random server, and expects the
//! answer of the model to the byte. `overlapping` sends several at once and looks for an order of them that the
//! specification allows, object by object.
//!
//! `PAKHUIS_MODEL_OPERATIONS` sets how many requests are sent, `PAKHUIS_MODEL_SEED` repeats an earlier run.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "seeds and counts belong into the test log")]

mod alphabet;
mod call;
mod expected;
mod overlapping;
#[path = "../shared/random.rs"]
mod random;
mod sequential;
mod servers;
mod specification;
mod step;
