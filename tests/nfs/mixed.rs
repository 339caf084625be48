//! Mixed pushes, pulls, retags and deletes through round robin, from real clients and from a load of our own.

use std::sync::Arc;

use crate::{
    load::{Load, Programs, Report},
    rig::{Registry, Rig},
    support::{operations, operations_beside, seed},
};

/// Threads with real clients beside the load.
const PROGRAMS: usize = 2;

/// Runs so many operations on the registry of the rig.
async fn load(rig: &Rig, operations: usize) -> Arc<Report> {
    let (seed, report) = (seed(), Arc::new(Report::default()));
    let counted = report.clone();
    let go_on = move || counted.operations() < operations;
    let programs = Programs::start(rig, PROGRAMS, seed, &report, go_on.clone());
    let load = Load::start(rig, "mixed", seed, false, report.clone(), go_on);
    load.finish().await;
    programs.finish();
    println!("mixed: {:?} on NFS {}: {}", rig.registry(), rig.nfs_version(), report.summary());
    report
}

/// Three servers give no answer that one alone would not give.
pub(crate) async fn three_servers_answer_as_one(rig: &Rig) {
    let report = load(rig, operations()).await;
    assert_eq!(report.failures(), 0, "{}\n{}", report.summary(), rig.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_answer_as_one_on_nfs_4_2() {
    three_servers_answer_as_one(&Rig::start(Registry::Pakhuis, "4.2")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_answer_as_one_on_nfs_3() {
    three_servers_answer_as_one(&Rig::start(Registry::Pakhuis, "3")).await;
}

/// The same load on what this project replaces, a share of it. Its failures are a figure, not a verdict: only that it
/// was under the same load, and answered, is insisted on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_2_beside_it() {
    let rig = Rig::start(Registry::Distribution, "4.2");
    let report = load(&rig, operations_beside()).await;
    assert!(report.requests() > operations_beside(), "{}\n{}", report.summary(), rig.logs());
}
