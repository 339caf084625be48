//! Operations at random from several workers at once, each request to the next server, and the judgement of every
//! answer: would one server alone have given it?

mod blobs;
mod client;
mod history;
mod image;
mod programs;
mod report;
mod worker;

use std::{sync::Arc, time::Instant};

pub(crate) use client::{Answer, Client, Request};
pub(crate) use history::History;
pub(crate) use image::{Blob, Image, MANIFEST};
pub(crate) use programs::Programs;
pub(crate) use report::Report;
use worker::{Shared, Worker};

use crate::{random::Random, rig::Rig};

/// Workers at once.
const WORKERS: usize = 5;

/// A load that is running.
pub(crate) struct Load {
    shared: Arc<Shared>,
    workers: Vec<tokio::task::JoinHandle<()>>,
    seed: u64,
    started: Instant,
}

impl Load {
    /// Starts the workers on repositories whose names begin with `name`; they begin operations as long as `go_on`
    /// says so. With `faults` a refusal is a right answer.
    pub(crate) fn start(
        rig: &Rig,
        name: &'static str,
        seed: u64,
        faults: bool,
        report: Arc<Report>,
        go_on: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            name,
            client: Client::new(rig.replicas(), report, faults),
            history: History::default(),
            registry: rig.registry(),
            images: tokio::sync::Mutex::default(),
            go_on: Box::new(go_on),
        });
        let mut random = Random(seed);
        let workers = (0..WORKERS)
            .map(|number| tokio::spawn(Worker::new(shared.clone(), number, random.next()).work()))
            .collect();
        Self { shared, workers, seed, started: Instant::now() }
    }

    /// Waits for the workers, reads everything once more on every server, and judges all that was answered.
    pub(crate) async fn finish(mut self) -> Arc<Report> {
        for worker in std::mem::take(&mut self.workers) {
            worker.await.expect("a worker reports, and does not panic");
        }
        let elapsed = self.started.elapsed();
        // Faults are over: a refusal is a failure now.
        let shared = Arc::new(Shared {
            name: self.shared.name,
            client: self.shared.client.without_faults(),
            history: History::default(),
            registry: self.shared.registry,
            images: tokio::sync::Mutex::default(),
            go_on: Box::new(|| false),
        });
        let reader = Worker::new(shared.clone(), 0, self.seed);
        self.read_all(&reader).await;
        self.shared.history.add_reads_of(&shared.history);
        let report = self.shared.client.report.clone();
        for wrong in self.shared.history.wrong_reads() {
            let kind = wrong.split(' ').next().unwrap_or_default();
            report.failed(format!("an answer about a {kind} that no order of the requests explains"), wrong);
        }
        println!(
            "load: {:.0} s, {} answers judged, {}",
            elapsed.as_secs_f64(),
            self.shared.history.reads(),
            report.summary()
        );
        report
    }

    /// Every tag on every server, and every image with all its bytes on one of them.
    async fn read_all(&self, reader: &Worker) {
        for register in self.shared.history.names("tag ") {
            let name = register.strip_prefix("tag ").and_then(|name| name.split_once(':'));
            let (repository, tag) = name.expect("the name of a tag's register");
            for server in self.shared.client.all_servers() {
                let _ = reader.read_tag(server, repository, tag).await;
            }
        }
        let images = self.shared.images.lock().await;
        for (repository, image) in
            images.iter().flat_map(|(name, images)| images.iter().map(move |image| (name, image)))
        {
            let server = self.shared.client.next_server();
            let _ = reader.read_manifest(server, repository, &image.digest).await;
            for blob in &image.blobs {
                let server = self.shared.client.next_server();
                let _ = reader.read_blob(server, repository, *blob).await;
            }
        }
        assert!(images.contains_key(&self.shared.repository()), "nothing was pushed: the load did not run");
    }
}
