//! Three servers on one volume behind round robin: one after the other is killed while the others go on.
//!
//! Each request of a push goes to the next server, so an upload is started on one, continued on another and committed
//! on the third. A request that breaks off with its server is answered as real clients answer it: most start the blob
//! again, some ask how far the upload is and go on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::Value;

use super::SEED;
use super::image::{Image, MANIFEST};
use super::volume::check_volume;
use crate::random::{Random, number_from, seed_from};
use crate::support::{Answer, Api, Options, TestServer, sha256};

const SERVERS: usize = 3;
const PUSHERS: u64 = 4;
/// Fewer than pushers: they meet in repositories and tags.
const REPOSITORIES: u64 = 2;
/// So few seeds that two pushers often push the same image at once.
const IMAGES: u64 = 40;
/// A server is killed this long after the load began, at most.
const LONGEST_LIFE: Duration = Duration::from_millis(400);
/// How long the others go on without it.
const AFTERWARDS: Duration = Duration::from_millis(100);
/// How often a client tries a blob or a manifest again; each server is killed once a round.
const ATTEMPTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_by_any_server_survives() {
    let seed = seed_from(SEED);
    let rounds = number_from("PAKHUIS_KILL_ANY_ROUNDS").unwrap_or(200);
    println!("PAKHUIS_KILL_SEED={seed} PAKHUIS_KILL_ANY_ROUNDS={rounds}");
    let started = Instant::now();
    let mut random = Random(seed);
    let mut servers = start();
    let mut acknowledged: Vec<Image> = Vec::new();
    let counts = Arc::new(Counts::default());
    for round in 0..rounds {
        let victim = random.below(SERVERS);
        let journals = push_while_one_is_killed(&mut servers, victim, &mut random, &counts).await;
        servers[victim].restart();
        let apis = apis(&servers);
        for image in journals.iter().flatten() {
            // Through the one that was killed, and through one that was not.
            for server in [victim, (victim + 1) % SERVERS] {
                assert!(
                    image.is_whole(&apis[server]).await,
                    "round {round}: {}:{} was acknowledged and is not there through server {server}",
                    image.repository,
                    image.tag
                );
            }
        }
        check_latest(&apis, &journals, round).await;
        acknowledged.extend(journals.into_iter().flatten());
    }
    let apis = apis(&servers);
    let pushed = acknowledged.len();
    acknowledged.sort_by(|a, b| (&a.repository, &a.tag).cmp(&(&b.repository, &b.tag)));
    acknowledged.dedup_by(|a, b| (&a.repository, &a.tag) == (&b.repository, &b.tag));
    for (number, image) in acknowledged.iter().enumerate() {
        let whole = image.is_whole(&apis[number % SERVERS]).await;
        assert!(whole, "{}:{} was lost in a later round", image.repository, image.tag);
    }
    let (links, blobs) = check_volume(servers[0].storage_root());
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "kill any: {rounds} rounds, {pushed} pushes acknowledged, {} requests broken off by a kill, {} uploads \
         continued elsewhere after one, {} refused as in use and begun again, {links} links and {blobs} blobs on the \
         volume as they should be, {:.0} s",
        count(&counts.broken),
        count(&counts.resumed),
        count(&counts.in_use),
        started.elapsed().as_secs_f64()
    );
    assert!(count(&counts.broken) > 0 || rounds < 10, "a kill breaks requests off");
}

#[derive(Default)]
struct Counts {
    broken: AtomicU64,
    resumed: AtomicU64,
    in_use: AtomicU64,
}

/// The first makes the volume, the others share it.
fn start() -> Vec<TestServer> {
    let mut servers = vec![TestServer::start(Options::default())];
    let storage_root = servers[0].storage_root().to_owned();
    while servers.len() < SERVERS {
        let options = Options { storage_root: Some(storage_root.clone()), ..Options::default() };
        servers.push(TestServer::start(options));
    }
    servers
}

fn apis(servers: &[TestServer]) -> Vec<Api> {
    servers.iter().map(Api::new).collect()
}

/// What each pusher had acknowledged, in order.
async fn push_while_one_is_killed(
    servers: &mut [TestServer],
    victim: usize,
    random: &mut Random,
    counts: &Arc<Counts>,
) -> Vec<Vec<Image>> {
    let stop = Arc::new(AtomicBool::new(false));
    let robin = Arc::new(AtomicUsize::new(0));
    let pushers: Vec<_> = (0..PUSHERS)
        .map(|_| {
            let pusher = Pusher {
                servers: apis(servers),
                robin: robin.clone(),
                down: AtomicUsize::new(usize::MAX),
                counts: counts.clone(),
                random: Random(random.next()),
            };
            tokio::spawn(pusher.push_until(stop.clone()))
        })
        .collect();
    let longest = u64::try_from(LONGEST_LIFE.as_micros()).expect("less than a second");
    tokio::time::sleep(Duration::from_micros(random.next() % longest)).await;
    servers[victim].kill_9();
    tokio::time::sleep(AFTERWARDS).await;
    stop.store(true, Ordering::Relaxed);
    try_join_all(pushers).await.expect("pushers that saw nothing but what a client can live with")
}

/// `latest` is the last that one of the pushers had acknowledged.
async fn check_latest(apis: &[Api], journals: &[Vec<Image>], round: u64) {
    for repository in (0..REPOSITORIES).map(repository) {
        let last = |journal: &Vec<Image>| {
            journal
                .iter()
                .rev()
                .find(|image| image.repository == repository)
                .map(|image| image.manifest.clone())
        };
        let candidates: Vec<Vec<u8>> = journals.iter().filter_map(last).collect();
        if candidates.is_empty() {
            continue;
        }
        let path = format!("/v2/{repository}/manifests/latest");
        let mut seen = None;
        for api in apis {
            let answer = api.get(&path).await;
            assert_eq!(answer.status, 200, "round {round}: {path}");
            let known = candidates.iter().any(|manifest| answer.body == *manifest);
            assert!(known, "round {round}: {path} is {:?}", serde_json::from_slice::<Value>(&answer.body));
            let before = seen.replace(answer.body.clone());
            assert!(
                before.is_none_or(|before| before == answer.body),
                "round {round}: {path} differs by server"
            );
        }
    }
}

fn repository(number: u64) -> String {
    format!("crash/shared-{number}")
}

/// A client behind round robin.
struct Pusher {
    servers: Vec<Api>,
    robin: Arc<AtomicUsize>,
    /// The server that went away, if one did.
    down: AtomicUsize,
    counts: Arc<Counts>,
    random: Random,
}

impl Pusher {
    /// Pushes images, the one under way to its end, until it is told to stop.
    async fn push_until(mut self, stop: Arc<AtomicBool>) -> Vec<Image> {
        let mut acknowledged = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let repository = repository(self.random.next() % REPOSITORIES);
            let seed = self.random.next() % IMAGES;
            let image = Image::new(repository, seed);
            for blob in Image::blobs(seed) {
                self.push_blob(&image.repository, &blob).await;
            }
            for tag in [image.tag.as_str(), "latest"] {
                self.push_manifest(&image, tag).await;
            }
            acknowledged.push(image);
        }
        acknowledged
    }

    /// The next server in turn, without the one that broke a connection: what a load balancer does too.
    fn server(&self) -> usize {
        loop {
            let next = self.robin.fetch_add(1, Ordering::Relaxed) % self.servers.len();
            if next != self.down.load(Ordering::Relaxed) {
                return next;
            }
        }
    }

    fn went_away(&self, server: usize) {
        self.down.store(server, Ordering::Relaxed);
        self.counts.broken.fetch_add(1, Ordering::Relaxed);
    }

    /// An answer, or nothing when the server went away with the request.
    async fn send(&self, method: Method, path: &str, range: Option<String>, body: &[u8]) -> Option<Answer> {
        let server = self.server();
        let sent = self.servers[server].send_part(method, path, range.as_deref(), body.to_vec()).await;
        if sent.is_err() {
            self.went_away(server);
        }
        sent.ok()
    }

    async fn push_manifest(&self, image: &Image, tag: &str) {
        for _ in 0..ATTEMPTS {
            let body = image.manifest.clone();
            let server = self.server();
            match self.servers[server].put_manifest(&image.repository, tag, MANIFEST, body).await {
                Ok(answer) => {
                    assert_eq!(answer.status, 201, "{}:{tag}: {:?}", image.repository, answer.body);
                    return;
                }
                Err(_) => self.went_away(server),
            }
        }
        panic!("{ATTEMPTS} servers in turn went away, and only one was killed");
    }

    async fn push_blob(&mut self, repository: &str, blob: &[u8]) {
        let resumes = self.random.once_in(2);
        for _ in 0..ATTEMPTS {
            if self.try_blob(repository, blob, resumes).await {
                return;
            }
        }
        panic!("{ATTEMPTS} uploads in turn broke off, and only one server was killed");
    }

    /// In two chunks and a commit; whether it was acknowledged.
    async fn try_blob(&self, repository: &str, blob: &[u8], resumes: bool) -> bool {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let Some(started) = self.send(Method::POST, &path, None, b"").await else { return false };
        assert_eq!(started.status, 202, "{path}: {:?}", started.body);
        let location = started.header("location").to_owned();
        let mut offset = 0;
        for end in [blob.len() / 2, blob.len()] {
            while offset < end {
                let range = format!("{offset}-{}", end - 1);
                match self.send(Method::PATCH, &location, Some(range), &blob[offset..end]).await {
                    Some(answer) if answer.status == 202 => offset = end,
                    // The claim of the server that was killed still stands.
                    Some(answer) if answer.status == 409 => {
                        self.counts.in_use.fetch_add(1, Ordering::Relaxed);
                        return false;
                    }
                    Some(answer) => panic!("PATCH {location}: {} {:?}", answer.status, answer.body),
                    None if !resumes => return false,
                    None => match self.offset(&location, end).await {
                        Some(stored) => offset = stored,
                        None => return false,
                    },
                }
            }
        }
        self.commit(&format!("{location}?digest={}", sha256(blob))).await
    }

    /// How far an upload is, asked of another server: no byte is counted that was not sent.
    async fn offset(&self, location: &str, sent: usize) -> Option<usize> {
        let answer = self.send(Method::GET, location, None, b"").await?;
        assert_eq!(answer.status, 204, "GET {location}: {:?}", answer.body);
        let range = answer.header("range");
        let stored = if range == "0--1" {
            0
        } else {
            let last = range.strip_prefix("0-").and_then(|last| last.parse::<usize>().ok());
            last.unwrap_or_else(|| panic!("{location} has {range}")) + 1
        };
        assert!(stored <= sent, "{location} has {stored} bytes of {sent}");
        self.counts.resumed.fetch_add(1, Ordering::Relaxed);
        Some(stored)
    }

    async fn commit(&self, path: &str) -> bool {
        let Some(answer) = self.send(Method::PUT, path, None, b"").await else { return false };
        if answer.status == 409 {
            self.counts.in_use.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        assert_eq!(answer.status, 201, "PUT {path}: {:?}", answer.body);
        true
    }
}
