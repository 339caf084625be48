//! 5,000 connections at once that say nothing, or as slowly as they can.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::watch::Watch;
use crate::support::wire::Trust;
use crate::support::{Api, Options, TestServer, basic_authorization, pakhuis, run_with_input};

const CONNECTIONS: usize = 5000;

/// In this order: what takes no handshake is soon there, and is cut off first. Slow bodies are as many as one user may
/// send at once.
const KINDS: [Kind; 5] = [Kind::SlowBody, Kind::SlowHead, Kind::SlowHead, Kind::Silent, Kind::HalfAHandshake];

const ATTACKER: (&str, &str) = ("mallory", "a password of the attacker");

/// Longer than the limits of this server, at most 20 s, with what a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(50);

/// How a connection is slow.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Silent,
    HalfAHandshake,
    SlowHead,
    SlowBody,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_slow_connections_are_cut_off_and_nobody_waits_for_them() {
    allow_open_files(CONNECTIONS as u64 + 1000);
    let server = TestServer::start(Options {
        extra_server: "header_timeout = \"20s\"\nrequest_stall = \"20s\"".to_owned(),
        ..Options::default()
    });
    let server = Arc::new(server);
    let (user, password) = ATTACKER;
    let mut add = pakhuis();
    add.args(["add-user", user, "--password-stdin", "--htpasswd"]).arg(server.directory().join("htpasswd"));
    run_with_input(&mut add, password.as_bytes());
    while Api::new(&server).status_of(user, password).await != 200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let watch = Watch::begin(&server).await;
    let trust = Trust::of(&[server.ca_certificate()]);
    // Not faster than the kernel's queue of new connections.
    let gate = Arc::new(Semaphore::new(100));
    let begin = Instant::now();
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let kind = KINDS[number * KINDS.len() / CONNECTIONS];
        let (server, trust, gate) = (Arc::clone(&server), trust.clone(), Arc::clone(&gate));
        connections.spawn(async move { (kind, slow(&server, &trust, &gate, kind).await) });
    }
    let mut most = 0;
    let mut lasted = Vec::new();
    let mut clock = tokio::time::interval(Duration::from_millis(200));
    while !connections.is_empty() {
        tokio::select! {
            Some(ended) = connections.join_next() => {
                let (kind, ended) = ended.expect("a connection");
                let time = ended.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
                lasted.push(time);
            }
            _ = clock.tick() => most = most.max(open_connections(&server)),
        }
    }
    let longest = lasted.iter().max().expect("some");
    println!(
        "{} slow connections in {:.1} s, {most} at once, the longest for {:.1} s",
        lasted.len(),
        begin.elapsed().as_secs_f64(),
        longest.as_secs_f64()
    );
    assert!(most > CONNECTIONS * 4 / 5, "{most} at once: too few to tell");
    // 39 KiB for each that has shaken hands, 200 KiB for each upload that has begun.
    watch.end("5,000 slow connections", 400).await;
}

/// Opens a connection and keeps it as long as the server lets it; how long that was.
async fn slow(server: &TestServer, trust: &Trust, gate: &Semaphore, kind: Kind) -> Result<Duration, String> {
    let ticket = gate.acquire().await.expect("never closed");
    let text = |error: std::io::Error| error.to_string();
    match kind {
        Kind::Silent | Kind::HalfAHandshake => {
            let mut tcp = TcpStream::connect(server.host_port()).await.map_err(text)?;
            if matches!(kind, Kind::HalfAHandshake) {
                tcp.write_all(b"\x16\x03\x01\x02").await.map_err(text)?;
            }
            drop(ticket);
            until_closed(tcp, b"").await
        }
        Kind::SlowHead | Kind::SlowBody => {
            let mut stream = trust.connect(server).await.map_err(text)?;
            drop(ticket);
            let digest = "0".repeat(64);
            let head = format!(
                "POST /v2/slow/app/blobs/uploads/?digest=sha256:{digest} HTTP/1.1\r\nHost: localhost\r\n\
                 Authorization: {}\r\nContent-Length: 100000\r\n",
                basic_authorization(ATTACKER)
            );
            stream.write_all(head.as_bytes()).await.map_err(text)?;
            match kind {
                Kind::SlowHead => until_closed(stream, b"X-Filler: slow\r\n").await,
                _ => {
                    stream.write_all(b"\r\n").await.map_err(text)?;
                    until_closed(stream, b"body").await
                }
            }
        }
    }
}

/// A byte of `drops` every 500 ms until the server has closed.
async fn until_closed(stream: impl AsyncRead + AsyncWrite, drops: &[u8]) -> Result<Duration, String> {
    let begin = Instant::now();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let drip = async {
        for byte in drops.iter().cycle() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if writing.write_all(&[*byte]).await.is_err() || writing.flush().await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let read = async {
        let mut space = [0; 1024];
        while let Ok(1..) = reading.read(&mut space).await {}
    };
    tokio::select! {
        () = drip => {}
        ended = tokio::time::timeout(PATIENCE, read) => ended.map_err(|_| format!("not closed within {PATIENCE:?}"))?,
    }
    Ok(begin.elapsed())
}

/// File descriptors of the server that are sockets.
fn open_connections(server: &TestServer) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("the server is running");
    open.filter(|entry| {
        entry.as_ref().is_ok_and(|entry| {
            std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
        })
    })
    .count()
}

fn allow_open_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.current.is_none_or(|current| current >= count);
    if !enough {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit }).expect("so many open files");
    }
}
