//! What a page costs with much stored: a repository of 10,000 tags, and 10,000 repositories. The volume is made as
//! files, in memory, since pushing so much takes minutes; the CPU of the whole server is read for each page.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use reqwest::Client;
use serde_json::json;

use crate::{
    program::run_with_input,
    support::{Options, TestServer, pages},
};
use pakhuis::oci::{Algorithm, Digest, media_type};

const MANY: usize = 10_000;
/// Times each page is asked for, in each of [`TRIALS`].
const ROUNDS: usize = 100;
/// A machine on which much else runs may take long for one series: the middle one of these counts.
const TRIALS: usize = 3;
/// Most CPU time of a page at the 95th percentile, in a release build.
const MOST_CPU: Duration = Duration::from_millis(5);
/// Most bytes of a page as gzip sends it.
const MOST_BYTES: usize = 12_000;

/// A volume in the tree of registry:2, written as files.
struct Volume(PathBuf);

impl Volume {
    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        self.write(&format!("blobs/sha256/{}/{}/data", &digest.encoded()[..2], digest.encoded()), bytes);
        digest
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// An image with a configuration and layers of its own, under a tag.
    fn image(&self, repository: &str, tag: &str, number: usize) {
        let architecture = ["amd64", "arm64"][number % 2];
        let created = format!("2026-01-{:02}T{:02}:00:00Z", number % 28 + 1, number % 24);
        let config =
            json!({ "os": "linux", "architecture": architecture, "created": created, "number": number })
                .to_string();
        let layer = |name: String| {
            let digest = Digest::of(Algorithm::Sha256, name.as_bytes());
            json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest.as_str(), "size": 1_000_000 + number })
        };
        let config_digest = self.blob(config.as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": { "mediaType": media_type::OCI_CONFIG, "digest": config_digest.as_str(), "size": config.len() },
            "layers": [layer("base".to_owned()), layer(format!("{repository} {}", number / 7)), layer(format!("{repository} {number}"))],
        });
        let digest = self.blob(manifest.to_string().as_bytes());
        let text = digest.as_str().as_bytes();
        let at = format!("repositories/{repository}");
        self.write(
            &format!("{at}/_layers/sha256/{}/link", config_digest.encoded()),
            config_digest.as_str().as_bytes(),
        );
        self.write(&format!("{at}/_manifests/revisions/sha256/{}/link", digest.encoded()), text);
        self.write(&format!("{at}/_manifests/tags/{tag}/current/link"), text);
    }
}

/// CPU time that the threads of a process have used.
fn cpu(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let of = |path: &Path| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(threads.filter_map(|thread| of(&thread.path())).sum())
}

async fn content_opened(client: &Client, metrics: &str) -> u64 {
    let text = client.get(metrics).send().await.unwrap().text().await.unwrap();
    let line =
        text.lines().find(|line| line.starts_with("pakhuis_content_opened_total ")).expect("the counter");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_hundred_of_ten_thousand_stays_within_its_budget() {
    let memory = tempfile::tempdir_in("/dev/shm").expect("a file system in memory");
    let volume = Volume(memory.path().join("docker/registry/v2"));
    for number in 0..MANY {
        volume.image("large/app", &format!("v{}.{}.{}", number / 400, number / 20 % 20, number % 20), number);
        volume.image(&format!("team{:02}/group{}/app{number:05}", number % 40, number % 7), "latest", number);
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = TestServer::start(Options {
        storage_root: Some(memory.path().to_owned()),
        extra_configuration: format!("\n[metrics]\nlisten = \"127.0.0.1:{port}\"\n"),
        ..Options::default()
    });
    let client = pages::client();
    let cookie = pages::sign_in(&client, &server).await;
    let get = |path: &str| client.get(format!("{}{path}", server.url())).header("cookie", &cookie).send();
    loop {
        let page = get("/ui/").await.unwrap().text().await.unwrap();
        if !page.contains("still being read") {
            assert!(page.contains(&format!("{}, with {} tags", MANY + 1, 2 * MANY)), "all of it is there");
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let metrics = format!("http://127.0.0.1:{port}/metrics");
    let mut over = Vec::new();
    for path in [
        "/ui/r/large/app",
        "/ui/r/large/app?page=37",
        "/ui/r/large/app?sort=tag&page=50",
        "/ui/r/large/app?sort=size&reverse=1&page=100",
        "/ui/",
        "/ui/?page=51",
        "/ui/?sort=pushed&page=3",
        "/ui/?sort=size",
    ] {
        let text = get(path).await.unwrap().error_for_status().unwrap().text().await.unwrap();
        let opened = content_opened(&client, &metrics).await;
        let mut trials = Vec::new();
        for _ in 0..TRIALS {
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                let before = cpu(server.pid());
                get(path).await.unwrap().bytes().await.unwrap();
                times.push(cpu(server.pid()).saturating_sub(before));
            }
            times.sort_unstable();
            trials.push((times[ROUNDS * 95 / 100], times[ROUNDS / 2]));
        }
        trials.sort_unstable();
        let (p95, median) = trials[TRIALS / 2];
        let reads = content_opened(&client, &metrics).await - opened;
        let size = run_with_input(Command::new("gzip").arg("-6").stdout(Stdio::piped()), text.as_bytes())
            .stdout
            .len();
        let rows = text.matches("<th scope=\"row\">").count();
        println!(
            "{path}: {rows} rows, CPU {median:?}, p95 {p95:?}, {} bytes, {size} gzipped, {reads} reads",
            text.len()
        );
        assert_eq!((rows, reads), (100, 0), "{path}");
        if size >= MOST_BYTES || (p95 > MOST_CPU && !cfg!(debug_assertions)) {
            over.push(path);
        }
    }
    std::io::stdout().flush().unwrap();
    assert!(over.is_empty(), "over budget: {over:?}");
}
