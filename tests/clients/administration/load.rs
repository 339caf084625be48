//! So many pulls and as many pushes a second: half over connections that are kept, half over one of their own; HTTP/1.1
//! and HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Api, TestServer, sha256};

/// 25 pulls and 25 pushes a second; the time between two of them.
pub(super) const FIFTY: Duration = Duration::from_millis(20);

/// 50 of each.
pub(super) const HUNDRED: Duration = Duration::from_millis(10);

/// On their way at once at most: a machine that cannot keep the pace is told by the pace, not by answers that are late.
const AT_ONCE: usize = 200;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Runs until it is [ended](Load::end).
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Tally>,
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) pulls: usize,
    pub(super) pushes: usize,
    pub(super) failures: Vec<String>,
    pub(super) slowest: Duration,
    pub(super) took: Duration,
    pace: Duration,
}

/// A client for each way to come.
struct Clients {
    kept: [Api; 2],
    new: Box<dyn Fn(usize) -> Api + Send + Sync>,
}

impl Load {
    /// Pushes what is pulled, and begins.
    pub(super) async fn begin(server: &TestServer, pace: Duration) -> Self {
        let kept = [Api::new(server), Api::over_http2(server)];
        push(&kept[0], 0).await.expect("a first push");
        let new = [Api::maker(server, true), Api::maker(server, false)];
        let clients = Clients { kept, new: Box::new(move |number| new[number % 2]()) };
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(run(Arc::new(clients), pace, Arc::clone(&stop)));
        Self { stop, task }
    }

    /// Waits for what is on its way.
    pub(super) async fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the load runs to its end")
    }
}

impl Tally {
    /// None failed, and the pace was kept.
    #[track_caller]
    pub(super) fn assert_all_succeeded(&self, during: &str) {
        let done = self.pulls + self.pushes;
        println!(
            "{during}: {} pulls and {} pushes in {:.1} s, {} failed, slowest {:.0} ms",
            self.pulls,
            self.pushes,
            self.took.as_secs_f64(),
            self.failures.len(),
            self.slowest.as_secs_f64() * 1e3
        );
        assert!(self.failures.is_empty(), "{:#?}", self.failures);
        let due = self.took.as_secs_f64() / self.pace.as_secs_f64();
        assert!(done as f64 > 0.9 * due, "{done} of {due:.0}: too few to tell");
    }
}

async fn run(clients: Arc<Clients>, pace: Duration, stop: Arc<AtomicBool>) -> Tally {
    let begin = Instant::now();
    let mut clock = tokio::time::interval(pace);
    let mut running = JoinSet::new();
    let mut done = Vec::new();
    for number in 1.. {
        clock.tick().await;
        while let Some(ended) = running.try_join_next() {
            done.push(ended.expect("a request is seen to its end"));
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if running.len() >= AT_ONCE {
            continue;
        }
        let clients = Arc::clone(&clients);
        running.spawn(async move { one(&clients, number).await });
    }
    let mut tally = Tally { took: begin.elapsed(), pace, ..Tally::default() };
    for (number, took, outcome) in done.into_iter().chain(running.join_all().await) {
        tally.slowest = tally.slowest.max(took);
        match outcome {
            Ok(()) if is_pull(number) => tally.pulls += 1,
            Ok(()) => tally.pushes += 1,
            Err(error) => {
                let kind = if is_pull(number) { "pull" } else { "push" };
                let way = if is_kept(number) { "kept" } else { "new" };
                tally.failures.push(format!("{kind} {number} over a {way} connection: {error}"));
            }
        }
    }
    tally
}

const fn is_pull(number: usize) -> bool {
    number.is_multiple_of(2)
}

const fn is_kept(number: usize) -> bool {
    (number / 2).is_multiple_of(2)
}

async fn one(clients: &Clients, number: usize) -> (usize, Duration, Result<(), String>) {
    let begin = Instant::now();
    let way = number / 4;
    let api = if is_kept(number) { clients.kept[way % 2].clone() } else { (clients.new)(way) };
    let work = async { if is_pull(number) { pull(&api).await } else { push(&api, number).await } };
    let outcome = match tokio::time::timeout(Duration::from_secs(60), work).await {
        Ok(outcome) => outcome,
        Err(_) => Err("no answer within 60 s".to_owned()),
    };
    (number, begin.elapsed(), outcome)
}

/// 64 KiB that no other push has.
fn content(number: usize) -> Vec<u8> {
    number.to_be_bytes().repeat(8 << 10)
}

async fn push(api: &Api, number: usize) -> Result<(), String> {
    let bytes = content(number);
    let digest = sha256(&bytes);
    let blob = api.upload_at_once("load/app", &digest, bytes).await.map_err(|error| told(&error))?;
    if blob.status != 201 {
        return Err(format!("the blob: {} {:?}", blob.status, blob.body));
    }
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"number":"{number}"}}}}"#
    );
    let put = api.put_manifest("load/app", &format!("v{number}"), INDEX, index.into_bytes()).await;
    match put.map_err(|error| told(&error))? {
        put if put.status == 201 => Ok(()),
        put => Err(format!("the manifest: {} {:?}", put.status, put.body)),
    }
}

async fn pull(api: &Api) -> Result<(), String> {
    let get = async |path: String| api.send(Method::GET, &path).await.map_err(|error| told(&error));
    let manifest = get("/v2/load/app/manifests/v0".to_owned()).await?;
    if manifest.status != 200 || sha256(&manifest.body) != manifest.header("docker-content-digest") {
        return Err(format!("the manifest: {} {:?}", manifest.status, manifest.body));
    }
    let digest = sha256(&content(0));
    let blob = get(format!("/v2/load/app/blobs/{digest}")).await?;
    if blob.status != 200 || sha256(&blob.body) != digest {
        return Err(format!("the blob: {}, {} bytes", blob.status, blob.body.len()));
    }
    Ok(())
}

fn told(error: &reqwest::Error) -> String {
    format!("{error:?}")
}
