//! Our tracer sees what strace sees: the same calls on the volume, of each kind as many, for the same requests.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    program::program,
    support::{
        calls,
        client::Client,
        image::{Image, sha256},
        registry::{pull, push},
        server::Server,
        volume::Volume,
    },
};

const REPOSITORY: &str = "team/app";

/// Times to compare at most: the journal and what is seen of a push are written by the server when it finds the time,
/// in one of the counts or the other. A call that a tracer does not see is missing each time.
const ROUNDS: usize = 5;

#[tokio::test]
async fn the_tracer_sees_what_strace_sees() {
    let volume = Volume::in_memory("size=64m");
    let mut differences = Vec::new();
    for _ in 0..ROUNDS {
        let ours = counted_by_us(&volume).await;
        volume.wipe();
        let theirs = counted_by_strace(&volume).await;
        volume.wipe();
        assert!(ours.values().sum::<usize>() > 300, "{ours:?}");
        if ours == theirs {
            println!("comparison: {} calls on the volume, as strace: {ours:?}", ours.values().sum::<usize>());
            return;
        }
        differences.push((ours, theirs));
    }
    panic!("ours, then strace's, {ROUNDS} times: {differences:#?}");
}

async fn counted_by_us(volume: &Volume) -> BTreeMap<String, usize> {
    let server = Server::traced(volume.root());
    server.tracer().arm(None);
    requests(&server.client()).await;
    let mut ours = BTreeMap::new();
    for call in server.tracer().disarm() {
        // The server asks by itself how much room there is.
        if !call.path.ends_with("v2/blobs") {
            *ours.entry(call.name.to_owned()).or_insert(0) += 1;
        }
    }
    ours
}

async fn counted_by_strace(volume: &Volume) -> BTreeMap<String, usize> {
    let server = Server::plain(volume.root());
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("strace");
    let mut strace = program("strace", "strace")
        .args([
            "-f",
            "-y",
            "-s",
            "0",
            "-e",
            &format!("trace={}", calls::names()),
            "-p",
            &server.pid().to_string(),
        ])
        .arg("-o")
        .arg(&output)
        .stderr(Stdio::null())
        .spawn()
        .expect("strace starts");
    wait_until_traced(server.pid());
    requests(&server.client()).await;
    kill_process(Pid::from_child(&strace), Signal::INT).expect("our own child");
    strace.wait().expect("our own child");
    count(&fs::read_to_string(&output).expect("what strace wrote"), volume.root())
}

/// A push, a pull and deletes, small enough that every transfer is one call.
async fn requests(client: &Client) {
    let image = Image::new(1, 900, None);
    push(client, REPOSITORY, "1.0", &image).await.expect("a push");
    pull(client, REPOSITORY, "1.0", &image).await.expect("a pull");
    for path in ["/v2/_catalog", "/v2/team/app/tags/list"] {
        assert_eq!(client.send("GET", path, b"").await.status, 200, "{path}");
    }
    for path in [
        format!("/v2/{REPOSITORY}/manifests/1.0"),
        format!("/v2/{REPOSITORY}/manifests/{}", image.digest()),
        format!("/v2/{REPOSITORY}/blobs/{}", sha256(image.layer())),
    ] {
        assert_eq!(client.send("DELETE", &path, b"").await.status, 202, "{path}");
    }
}

fn wait_until_traced(pid: i32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_traced = |task: &Path| {
        let status = fs::read_to_string(task.join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    };
    while !fs::read_dir(format!("/proc/{pid}/task"))
        .expect("a running server")
        .flatten()
        .all(|task| is_traced(&task.path()))
    {
        assert!(Instant::now() < deadline, "strace attaches");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Calls by name, of the lines that name a file of the volume.
fn count(output: &str, volume: &Path) -> BTreeMap<String, usize> {
    let volume = volume.to_str().expect("a path in UTF-8");
    let mut counts = BTreeMap::new();
    for line in output.lines().filter(|line| line.contains(volume)) {
        // The server asks by itself how much room there is.
        if line.contains("v2/blobs\"") || line.contains("v2/blobs>") {
            continue;
        }
        let call = line.split_whitespace().nth(1).unwrap_or_default();
        let Some((name, _)) = call.split_once('(') else { continue };
        *counts.entry(name.to_owned()).or_insert(0) += 1;
    }
    counts
}
