//! What every request pays for in CPU, measured alone: `cargo bench --bench micro`; or `-- route` for some of them.

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
