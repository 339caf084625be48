//! What every request pays for in CPU, measured alone: `cargo bench --bench micro`; or `-- route` for some of them.
#![allow(clippy::disallowed_methods, reason = "benchmarks write files of their own")]

mod listing;
mod request;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    request::route,
    request::credentials,
    request::manifest,
    request::digest,
    listing::tags
);
criterion_main!(benches);
