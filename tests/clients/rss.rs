//! Peak memory of the server while 16 pushes and 16 pulls of 1 GiB run at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::{Body, Method};
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use tokio::task::JoinSet;

use crate::support::{Api, Options, TestServer, pseudo_random};

const EACH_WAY: u64 = 16;
const BLOB_BYTES: u64 = 1 << 30;
const PIECE_BYTES: usize = 256 << 10;
const LIMIT_KIBIBYTES: u64 = 100 << 10;
/// The pushed blobs, the pulled one, and a reserve.
const VOLUME_BYTES: u64 = (EACH_WAY + 3) * BLOB_BYTES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_pushes_and_sixteen_pulls_of_one_gibibyte_stay_under_100_mebibytes() {
    let place = place_with_room();
    let volume = tempfile::tempdir_in(&place).expect("a volume");
    let storage_root = Some(volume.path().to_owned());
    let server = TestServer::start(Options { storage_root, ..Options::default() });
    let content = Content::new();
    let digests: Vec<_> = {
        let hashed = (0..=EACH_WAY).map(|number| {
            let content = content.clone();
            tokio::task::spawn_blocking(move || content.digest(number))
        });
        futures_util::future::try_join_all(hashed).await.expect("a hash")
    };
    let shared = digests[0].clone();
    push(Api::new(&server), content.clone(), 0, shared.clone()).await;
    let before = server.peak_kibibytes();

    let started = Instant::now();
    let mut transfers = JoinSet::new();
    for (number, digest) in (1..).zip(&digests[1..]) {
        // A connection each; every second one speaks HTTP/2, whose windows are memory of the server too.
        let connect = || if number % 2 == 0 { Api::new(&server) } else { Api::over_http2(&server) };
        transfers.spawn(push(connect(), content.clone(), number, digest.clone()));
        transfers.spawn(pull(connect(), shared.clone()));
    }
    while let Some(ended) = transfers.join_next().await {
        ended.expect("a transfer that ends well");
    }
    let peak = server.peak_kibibytes();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "rss: peak {:.1} MiB ({:.1} MiB before) under 16 pushes and 16 pulls of 1 GiB in {seconds:.0} s on {}",
        mebibytes(peak),
        mebibytes(before),
        place.display()
    );
    assert!(peak < LIMIT_KIBIBYTES, "peak memory {:.1} MiB", mebibytes(peak));
}

/// 1 GiB that differs from number to number and takes no memory of the test: one piece again and again.
#[derive(Clone)]
struct Content {
    piece: Bytes,
}

impl Content {
    fn new() -> Self {
        let mut piece = BytesMut::zeroed(PIECE_BYTES);
        pseudo_random(31).read_exact(&mut piece).expect("endless bytes");
        Self { piece: piece.freeze() }
    }

    fn pieces(&self, number: u64) -> impl Iterator<Item = Bytes> + Send + use<> {
        let first = BytesMut::from([&number.to_be_bytes(), &self.piece[8..]].concat().as_slice()).freeze();
        let others = usize::try_from(BLOB_BYTES).expect("64 bits") / PIECE_BYTES - 1;
        std::iter::once(first).chain(std::iter::repeat_n(self.piece.clone(), others))
    }

    fn digest(&self, number: u64) -> String {
        let mut hasher = Sha256::new();
        self.pieces(number).for_each(|piece| hasher.update(&piece));
        as_digest(hasher)
    }
}

/// Half of the pushes as docker does (PATCH, then PUT), half as containerd does (one PUT).
async fn push(api: Api, content: Content, number: u64, digest: String) {
    let body = Body::wrap_stream(stream::iter(content.pieces(number).map(Ok::<_, std::io::Error>)));
    let answer = if number % 4 < 2 {
        api.upload("memory/pushed", &digest, body).await
    } else {
        api.upload_at_once("memory/pushed", &digest, body).await
    };
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 201, "push {number}: {:?}", answer.body);
}

async fn pull(api: Api, digest: String) {
    let request = api.request(Method::GET, &format!("/v2/memory/pushed/blobs/{digest}"));
    let mut response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let mut hasher = Sha256::new();
    while let Some(piece) = response.chunk().await.expect("the whole blob") {
        hasher.update(&piece);
    }
    assert_eq!(as_digest(hasher), digest, "the pulled bytes");
}

fn as_digest(hasher: Sha256) -> String {
    let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

/// Memory when there is plenty of it, else the disk; the transfers are not made smaller to fit.
fn place_with_room() -> PathBuf {
    let memory = fs::read_to_string("/proc/meminfo").expect("Linux tells it");
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = available.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let shared_memory = Path::new("/dev/shm");
    let plenty = available.is_some_and(|kibibytes| kibibytes * 1024 > VOLUME_BYTES + (8 << 30));
    if plenty && free_bytes(shared_memory).is_some_and(|free| free > VOLUME_BYTES) {
        return shared_memory.to_owned();
    }
    let disk = std::env::temp_dir();
    let free = free_bytes(&disk).expect("a temporary directory");
    assert!(free > VOLUME_BYTES, "{} has {free} bytes free, this takes {VOLUME_BYTES}", disk.display());
    disk
}

fn free_bytes(directory: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(directory).ok()?;
    Some(found.f_bavail * found.f_frsize)
}
