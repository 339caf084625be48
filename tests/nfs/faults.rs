//! Faults of the NFS server, of a client and of the network between them, under load.
//!
//! A refusal (503, or no answer from a machine that is off) is a right answer meanwhile. A wrong one is not, and
//! what was acknowledged is there at the end. No server of the registry is started again, except the one whose
//! machine lost its power.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    load::{Load, Report},
    rig::{CLIENTS, Registry, Rig},
    support::seed,
};

/// How long the NFS server does not answer.
const PAUSE: Duration = Duration::from_secs(60);
/// How long the load runs before, between and after faults.
const CALM: Duration = Duration::from_secs(4);
/// How long the shorter faults last: longer than the lease of the NFS server of the rig.
const OUTAGE: Duration = Duration::from_secs(20);
/// How long the servers may take to be ready after a fault. The grace period of the NFS server is 15 s, and a
/// client that waits for it asks again after up to 15 s.
const RECOVERY: Duration = Duration::from_secs(120);

/// A rig under load, and what is asked of it meanwhile.
struct Trial {
    rig: Rig,
    report: Arc<Report>,
    http: reqwest::Client,
}

impl Trial {
    /// The status of a page of a server, 0 when it does not answer.
    async fn status(&self, server: usize, path: &str) -> u16 {
        let url = format!("http://{}{path}", self.rig.replicas()[server]);
        self.http.get(url).send().await.map_or(0, |answer| answer.status().as_u16())
    }

    /// Waits until every server says that it is ready, and prints what the fault cost.
    async fn recover(&self, fault: &str) {
        let lifted = Instant::now();
        for server in 0..CLIENTS.len() {
            while self.status(server, "/readyz").await != 200 {
                let waited = lifted.elapsed();
                assert!(
                    waited < RECOVERY,
                    "{fault}: {server} is not ready {waited:?} after\n{}",
                    self.rig.logs()
                );
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        let ready = lifted.elapsed().as_secs_f64();
        let before = self.report.requests();
        tokio::time::sleep(CALM).await;
        // The NFS clients may still be recovering what they had open, each call of theirs until the end of the grace
        // period.
        while self.report.requests() == before {
            let waited = lifted.elapsed();
            assert!(waited < RECOVERY, "{fault}: nothing is answered {waited:?} after\n{}", self.rig.logs());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!(
            "fault: {fault}: all ready {ready:.1} s after it; {}; answers again {:.1} s after it",
            self.report.waits(),
            lifted.elapsed().as_secs_f64()
        );
    }

    /// While the volume hangs, a server says that it lives, and soon that it is not ready.
    async fn hangs(&self, server: usize) {
        assert_eq!(self.status(server, "/healthz").await, 200, "the process lives");
        assert_eq!(self.status(server, "/readyz").await, 503, "the volume does not answer");
    }

    async fn server_paused(&self) {
        self.report.begin_fault();
        self.rig.server().freeze();
        tokio::time::sleep(PAUSE / 2).await;
        self.hangs(0).await;
        tokio::time::sleep(PAUSE / 2).await;
        self.rig.server().thaw();
        self.recover("NFS server paused for 60 s").await;
    }

    async fn service_restarted(&self) {
        self.report.begin_fault();
        self.rig.server().run("/mnt/guest/server.sh stop");
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.rig.server().run("/mnt/guest/server.sh resume");
        self.recover("NFS service restarted").await;
    }

    async fn server_lost_power(&mut self) {
        self.report.begin_fault();
        self.rig.cut_power_of_server();
        self.rig.boot_server();
        self.recover("NFS server lost its power").await;
    }

    async fn client_lost_power(&mut self) {
        self.report.begin_fault();
        self.rig.cut_power_of_client(2);
        tokio::time::sleep(CALM).await;
        assert_eq!(self.status(0, "/readyz").await, 200, "the others go on");
        self.rig.boot_client(2);
        self.recover("a client lost its power").await;
    }

    async fn cable_cut(&self) {
        self.report.begin_fault();
        self.rig.cut_storage(1);
        tokio::time::sleep(OUTAGE).await;
        self.hangs(1).await;
        assert_eq!(self.status(0, "/readyz").await, 200, "the others go on");
        self.rig.restore_storage(1);
        self.recover("a client cut off from the NFS server for 20 s").await;
    }

    /// Another `fsid` makes every handle of the clients stale: only a new mount helps, and no restart of ours.
    async fn exported_anew(&self) {
        self.report.begin_fault();
        self.rig.server().run("/mnt/guest/server.sh export 7");
        tokio::time::sleep(CALM).await;
        for server in 0..CLIENTS.len() {
            assert_eq!(self.status(server, "/healthz").await, 200, "the process lives");
            assert_eq!(self.status(server, "/readyz").await, 503, "the volume of {server} is stale");
            self.rig.remount(server);
        }
        self.recover("exported with another fsid, and mounted anew").await;
    }
}

/// Every fault, one after the other; what was acknowledged and answered is judged at the end.
pub(crate) async fn each_fault(rig: Rig) {
    let (seed, report, running) = (seed(), Arc::new(Report::default()), Arc::new(AtomicBool::new(true)));
    let go_on = running.clone();
    let load = Load::start(&rig, "faults", seed, true, report.clone(), move || go_on.load(Ordering::Relaxed));
    let http =
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(40)).build().expect("a client");
    let mut trial = Trial { rig, report, http };
    tokio::time::sleep(CALM).await;
    trial.server_paused().await;
    trial.service_restarted().await;
    trial.server_lost_power().await;
    trial.client_lost_power().await;
    trial.cable_cut().await;
    trial.exported_anew().await;
    running.store(false, Ordering::Relaxed);
    let report = load.finish().await;
    println!("faults on NFS {}: {}", trial.rig.nfs_version(), report.summary());
    assert_eq!(report.failures(), 0, "{}\n{}", report.summary(), trial.rig.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_wrong_on_nfs_4_2() {
    each_fault(Rig::start(Registry::Pakhuis, "4.2")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_wrong_on_nfs_3() {
    each_fault(Rig::start(Registry::Pakhuis, "3")).await;
}
