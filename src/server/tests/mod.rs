//! The server over real sockets: what a client sees on the wire.
#![allow(clippy::unwrap_used)]

mod early_answer;
mod framing;
mod life_cycle;
mod shares;
mod support;
mod timers;
