//! The calls that one registry made, and the table of two.

use std::collections::BTreeSet;

use super::{REST, mount_stats::Calls};
use crate::rig::Registry;

/// What one registry sent to the file server.
pub(super) struct Figures {
    pub(super) registry: Registry,
    /// By part, such as a push.
    pub(super) parts: Vec<(&'static str, Calls)>,
    /// By request, from a run of its own: asking after each request takes time, and caches expire.
    pub(super) requests: Vec<Request>,
    /// Without any request.
    pub(super) rest: Calls,
}

/// All requests of one kind in one part.
pub(super) struct Request {
    pub(super) part: &'static str,
    pub(super) name: &'static str,
    pub(super) times: u64,
    pub(super) calls: Calls,
}

impl Figures {
    fn of(&self, part: &str) -> &Calls {
        let found = self.parts.iter().find(|(name, _)| *name == part);
        &found.expect("a part that was measured").1
    }

    fn total(&self, parts: &[&str]) -> u64 {
        parts.iter().map(|part| self.of(part).total()).sum()
    }

    fn print_requests(&self) {
        println!(
            "\n{:?}, by request; at rest for {} s: {}",
            self.registry,
            REST.as_secs(),
            self.rest.listed()
        );
        for Request { part, name, times, calls } in &self.requests {
            println!("  {part}: {times} x {name}: {} ({})", calls.total(), calls.listed());
        }
    }
}

/// The table by operation and part, then each registry by request.
pub(super) fn print(ours: &Figures, reference: &Figures) {
    let both = [ours, reference];
    let parts: Vec<_> = ours.parts.iter().map(|(part, _)| *part).collect();
    println!("\nNFS calls, ours / reference");
    print_row("", parts.iter().map(|part| (*part).to_owned()));
    let calls = both.iter().flat_map(|figures| figures.parts.iter().map(|(_, calls)| calls));
    let operations: BTreeSet<_> = calls.flat_map(Calls::operations).collect();
    for operation in operations {
        let cell = |part: &&str| both.map(|figures| figures.of(part).of(operation).to_string()).join(" / ");
        print_row(operation, parts.iter().map(cell));
    }
    let total = |part: &&str| both.map(|figures| figures.total(&[part]).to_string()).join(" / ");
    print_row("all", parts.iter().map(total));
    print_row("ratio", parts.iter().map(|part| format!("{:.2}", ratio(ours, reference, &[part]))));
    ours.print_requests();
    reference.print_requests();
}

fn print_row(name: &str, cells: impl Iterator<Item = String>) {
    let cells: String = cells.map(|cell| format!("{cell:>18}")).collect();
    println!("{name:14}{cells}");
}

/// Calls of ours in these parts for each of the reference.
pub(super) fn ratio(ours: &Figures, reference: &Figures, parts: &[&str]) -> f64 {
    let [ours, reference] =
        [ours, reference].map(|figures| u32::try_from(figures.total(parts)).expect("not so many"));
    f64::from(ours) / f64::from(reference)
}
