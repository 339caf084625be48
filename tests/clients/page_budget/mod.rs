//! What a page costs with much stored: a repository of 10,000 tags, and 10,000 repositories. The volume is made as
//! files, in memory, since pushing so much takes minutes; the CPU of the whole server is read for each page.

mod volume;

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use self::volume::Volume;
use crate::{
    program::run_with_input,
    support::{Options, TestServer, pages, pakhuis},
};
use pakhuis::oci::{Algorithm, Digest, media_type};

const MANY: usize = 10_000;
/// Times each page is asked for in each of at most [`TRIALS`] series.
const ROUNDS: usize = 100;
/// On a machine on which much else runs a series may take long, and every minute the server reads all repositories
/// again: the best of these counts, as soon as it is within the budget.
const TRIALS: usize = 5;
/// Most CPU time of a page at the 95th percentile, in a release build: whoever asks, and also when a tag was moved.
const MOST_CPU: Duration = Duration::from_millis(5);
/// The same of the first page after a push of another image into the large repository: the directories of its tags and
/// manifests are listed again.
const MOST_CPU_NEW: Duration = Duration::from_millis(80);
/// The same after the deletion of one: besides, it is counted anew what the others need.
const MOST_CPU_DELETED: Duration = Duration::from_millis(140);
/// Most bytes of a page on the wire to a browser, which takes gzip.
const MOST_BYTES: usize = 12_000;

/// CPU time that the threads of a process have used.
fn cpu(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let of = |path: &Path| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(threads.filter_map(|thread| of(&thread.path())).sum())
}

/// What a page was seen to cost.
struct Cost {
    p95: Duration,
    median: Duration,
    bytes: usize,
    reads: u64,
    rows: usize,
}

fn expanded(page: &[u8]) -> String {
    let text = run_with_input(Command::new("gzip").arg("-d").stdout(Stdio::piped()), page).stdout;
    String::from_utf8(text).unwrap()
}

struct Meter<'a> {
    server: &'a TestServer,
    client: &'a Client,
    metrics: String,
}

impl Meter<'_> {
    /// A page as it is on the wire.
    async fn compressed(&self, path: &str, cookie: &str) -> Vec<u8> {
        let request = self.client.get(format!("{}{path}", self.server.url()));
        let request = request.header("cookie", cookie).header("sec-fetch-site", "none");
        let request = request.header("accept-encoding", "gzip");
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        assert_eq!(answer.headers().get("content-encoding").expect("it is compressed"), "gzip");
        answer.bytes().await.unwrap().to_vec()
    }

    async fn get(&self, path: &str, cookie: &str) -> String {
        expanded(&self.compressed(path, cookie).await)
    }

    async fn content_opened(&self) -> u64 {
        let text = self.client.get(&self.metrics).send().await.unwrap().text().await.unwrap();
        let line =
            text.lines().find(|line| line.starts_with("pakhuis_content_opened_total ")).expect("the counter");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Asks for a page again and again, each time after `change`, until it is seen to cost no more than `most`.
    async fn measure(&self, path: &str, cookie: &str, change: Option<Change<'_>>, most: Duration) -> Cost {
        let page = self.compressed(path, cookie).await;
        let rounds = if change.is_some() { ROUNDS / 4 } else { ROUNDS };
        let (mut best, mut reads) = ((Duration::MAX, Duration::MAX), 0);
        for trial in 0..TRIALS {
            let mut times = Vec::new();
            for round in 0..rounds {
                if let Some(change) = change {
                    self.make(change, trial * rounds + round, path, cookie).await;
                }
                let opened = if change.is_some() || round == 0 { self.content_opened().await } else { 0 };
                let before = cpu(self.server.pid());
                self.compressed(path, cookie).await;
                times.push(cpu(self.server.pid()).saturating_sub(before));
                if change.is_some() || round == 0 {
                    reads += self.content_opened().await - opened;
                }
            }
            times.sort_unstable();
            best = best.min((times[rounds * 95 / 100], times[rounds / 2]));
            if best.0 <= most {
                break;
            }
        }
        let rows = expanded(&page).matches("<th scope=\"row\">").count();
        Cost { p95: best.0, median: best.1, bytes: page.len(), reads, rows }
    }

    async fn make(&self, change: Change<'_>, round: usize, path: &str, cookie: &str) {
        match change {
            Change::Moved(images) => drop(self.put("v0.0.0", images[round % 2].clone()).await),
            Change::New(image) => drop(self.put_new(image).await),
            Change::Deleted(image) => {
                let digest = self.put_new(image).await;
                // A page knows it.
                self.compressed(path, cookie).await;
                self.ask(Method::DELETE, digest.as_str(), "").await;
            }
        }
        // What the server does right after its answer, its log line and the end of the request, is not the page's.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    /// Pushes an image that was never there, like another. The page comes after the journal has made its summary.
    async fn put_new(&self, image: &str) -> Digest {
        let number = NEW_IMAGES.fetch_add(1, Ordering::Relaxed);
        let mut manifest: Value = serde_json::from_str(image).unwrap();
        manifest["annotations"] = json!({ "number": number.to_string() });
        let digest = self.put("new", manifest.to_string()).await;
        let summaries = self.server.storage_root().join("docker/registry/v2/.pakhuis/summaries/sha256");
        let summary = summaries.join(&digest.encoded()[..2]).join(digest.encoded());
        let began = Instant::now();
        while !summary.exists() {
            assert!(began.elapsed() < Duration::from_secs(30), "no summary of what was pushed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        digest
    }

    async fn put(&self, tag: &str, manifest: String) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, manifest.as_bytes());
        self.ask(Method::PUT, tag, manifest).await;
        digest
    }

    /// Asks for something that changes the large repository.
    async fn ask(&self, method: Method, reference: &str, body: impl Into<reqwest::Body>) {
        let url = format!("{}/v2/large/app/manifests/{reference}", self.server.url());
        let request = self.client.request(method, url);
        let request = request.basic_auth(self.server.username(), Some(self.server.password()));
        let request = request.header("content-type", media_type::OCI_MANIFEST).body(body);
        request.send().await.unwrap().error_for_status().unwrap();
    }
}

static NEW_IMAGES: AtomicUsize = AtomicUsize::new(0);

/// What happens to the large repository before a page.
#[derive(Clone, Copy)]
enum Change<'a> {
    /// A tag is moved, to and fro between two of its images.
    Moved(&'a [String; 2]),
    /// Another image is pushed under a tag, each time a new one.
    New(&'a str),
    /// The same is deleted again.
    Deleted(&'a str),
}

/// A user who may read the large repository and half of the others.
fn rule() -> String {
    let teams: Vec<String> = (0..20).map(|number| format!("\"team{number:02}/*\"")).collect();
    format!(
        "\n[[auth.access]]\nusers = [\"guest\"]\nrepositories = [\"large/*\", {}]\nallow = [\"pull\"]\n",
        teams.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_hundred_of_ten_thousand_stays_within_its_budget() {
    let memory = tempfile::tempdir_in("/dev/shm").expect("a file system in memory");
    let images = Volume::fill(memory.path());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = TestServer::start(Options {
        storage_root: Some(memory.path().to_owned()),
        extra_configuration: format!("\n[metrics]\nlisten = \"127.0.0.1:{port}\"\n{}", rule()),
        ..Options::default()
    });
    let mut add = pakhuis();
    add.args(["add-user", "guest", "--password-stdin", "--htpasswd"])
        .arg(server.directory().join("htpasswd"));
    run_with_input(&mut add, format!("{}\n", server.password()).as_bytes());
    let client = pages::client();
    let meter =
        Meter { server: &server, client: &client, metrics: format!("http://127.0.0.1:{port}/metrics") };
    let cookie = pages::sign_in(&client, &server).await;
    loop {
        let page = meter.get("/ui/", &cookie).await;
        if !page.contains("still being read") {
            assert!(page.contains(&format!("{}, with {} tags", MANY + 1, 2 * MANY)), "all of it is there");
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(meter.get("/ui/r/large/app", &cookie).await.contains("builder"), "it says who pushed");
    let guest = pages::sign_in_as(&client, &server, "guest").await;
    let half = meter.get("/ui/", &guest).await;
    assert!(half.contains(&format!("{}, with {} tags", MANY / 2 + 1, MANY + MANY / 2)), "{half}");
    let mut over = Vec::new();
    for (who, cookie, path, change) in [
        ("all", &cookie, "/ui/r/large/app", None),
        ("all", &cookie, "/ui/r/large/app?page=37", None),
        ("all", &cookie, "/ui/r/large/app?sort=tag&page=50", None),
        ("all", &cookie, "/ui/r/large/app?sort=size&reverse=1&page=100", None),
        ("all", &cookie, "/ui/", None),
        ("all", &cookie, "/ui/?page=51", None),
        ("all", &cookie, "/ui/?sort=pushed&page=3", None),
        ("all", &cookie, "/ui/?sort=size", None),
        ("half", &guest, "/ui/r/large/app?page=37", None),
        ("half", &guest, "/ui/", None),
        ("half", &guest, "/ui/?sort=pushed&page=3", None),
        ("moved", &cookie, "/ui/r/large/app", Some(Change::Moved(&images))),
        ("moved", &cookie, "/ui/", Some(Change::Moved(&images))),
        ("moved", &guest, "/ui/?sort=pushed", Some(Change::Moved(&images))),
        ("new", &cookie, "/ui/r/large/app", Some(Change::New(&images[0]))),
        ("new", &guest, "/ui/?sort=pushed", Some(Change::New(&images[0]))),
        ("deleted", &cookie, "/ui/r/large/app", Some(Change::Deleted(&images[0]))),
        ("deleted", &guest, "/ui/?sort=pushed", Some(Change::Deleted(&images[0]))),
        ("all", &cookie, "/ui/r/large/app", None),
    ] {
        let most = match change {
            None | Some(Change::Moved(_)) => MOST_CPU,
            Some(Change::New(_)) => MOST_CPU_NEW,
            Some(Change::Deleted(_)) => MOST_CPU_DELETED,
        };
        let cost = meter.measure(path, cookie, change, most).await;
        let Cost { p95, median, bytes, reads, rows } = cost;
        println!("{who} {path}: {rows} rows, CPU {median:?}, p95 {p95:?}, {bytes} bytes, {reads} reads");
        assert_eq!(rows, 100, "{path}");
        assert_eq!(reads, 0, "{path}");
        if bytes >= MOST_BYTES || (p95 > most && !cfg!(debug_assertions)) {
            over.push((who, path));
        }
    }
    std::io::stdout().flush().unwrap();
    assert!(over.is_empty(), "over budget: {over:?}");
}
