//! Mixed pushes, pulls, retags and deletes through round robin, from real clients and from a load of our own.

use std::sync::Arc;

use crate::{
    load::{Load, Programs, Report},
    rig::{Registry, Rig},
    support::{operations, seed},
};

/// Threads with real clients beside the load.
const PROGRAMS: usize = 2;

async fn run(registry: Registry, nfs_version: &'static str) -> (Rig, Arc<Report>) {
    let rig = Rig::start(registry, nfs_version);
    let (seed, operations, report) = (seed(), operations(), Arc::new(Report::default()));
    let counted = report.clone();
    let go_on = move || counted.operations() < operations;
    let programs = Programs::start(&rig, PROGRAMS, seed, &report, go_on.clone());
    let load = Load::start(&rig, seed, false, report.clone(), go_on);
    load.finish().await;
    programs.finish();
    println!("mixed: {registry:?} on NFS {nfs_version}: {}", report.summary());
    (rig, report)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_answer_as_one_on_nfs_4_2() {
    let (rig, report) = run(Registry::Pakhuis, "4.2").await;
    assert_eq!(report.failures(), 0, "{}\n{}", report.summary(), rig.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_answer_as_one_on_nfs_3() {
    let (rig, report) = run(Registry::Pakhuis, "3").await;
    assert_eq!(report.failures(), 0, "{}\n{}", report.summary(), rig.logs());
}

/// The same load on what this project replaces. Its failures are a figure, not a verdict: only that it was under
/// the same load, and answered, is insisted on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_2_beside_it() {
    let (rig, report) = run(Registry::Distribution, "4.2").await;
    assert!(report.requests() > operations(), "{}\n{}", report.summary(), rig.logs());
}
