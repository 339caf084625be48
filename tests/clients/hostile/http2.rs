//! Floods of HTTP/2 frames, as their raw bytes: no client library would send them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::watch::Watch;
use crate::support::wire::Trust;
use crate::support::{Options, TestServer};

const CONNECTIONS: usize = 4;

/// How long each flood lasts.
const LASTS: Duration = Duration::from_secs(2);

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET /v2/` in HPACK: three fields of the static table, then `:path` and `:authority` as text.
fn request() -> Vec<u8> {
    [&[0x82, 0x87, 0x44, 4][..], b"/v2/", &[0x41, 9], b"localhost"].concat()
}

/// A field that is not put into the table of the connection: 100 bytes of name and value.
fn field() -> Vec<u8> {
    [&[0, 4][..], b"long", &[94], &[b'x'; 94]].concat()
}

/// The bytes of one step of a flood; the number of the step makes its stream.
type Step = fn(u32) -> Vec<u8>;

const fn stream(step: u32) -> u32 {
    2 * step + 1
}

fn reset_at_once(step: u32) -> Vec<u8> {
    let open = frame(HEADERS, END_HEADERS | END_STREAM, stream(step), &request());
    [open, frame(RST_STREAM, 0, stream(step), &8_u32.to_be_bytes())].concat()
}

fn continuation_without_end(step: u32) -> Vec<u8> {
    match step {
        0 => frame(HEADERS, END_STREAM, 1, &request()),
        _ => frame(CONTINUATION, 0, 1, &field().repeat(100)),
    }
}

fn empty_continuation(step: u32) -> Vec<u8> {
    match step {
        0 => frame(HEADERS, END_STREAM, 1, &request()),
        _ => frame(CONTINUATION, 0, 1, &[]),
    }
}

fn head_of_many_fields(step: u32) -> Vec<u8> {
    let head = [request(), field().repeat(150)].concat();
    frame(HEADERS, END_HEADERS | END_STREAM, stream(step), &head)
}

fn ping(_: u32) -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8])
}

fn settings(_: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_are_borne() {
    let server = Arc::new(TestServer::start(Options::default()));
    let trust = Trust::speaking(&[server.ca_certificate()], &[b"h2"]);
    let floods: [(&str, Step, bool); 6] = [
        ("streams that are reset at once", reset_at_once, false),
        ("a head without end in CONTINUATION", continuation_without_end, true),
        ("empty CONTINUATION without end", empty_continuation, true),
        ("heads of 15 KiB whose answers nobody reads", head_of_many_fields, false),
        ("PING whose answers nobody reads", ping, false),
        ("SETTINGS whose answers nobody reads", settings, false),
    ];
    for (name, step, must_be_cut_off) in floods {
        let watch = Watch::begin(&server).await;
        let until = Instant::now() + LASTS;
        let mut running = JoinSet::new();
        for _ in 0..CONNECTIONS {
            running.spawn(flood_again(Arc::clone(&server), trust.clone(), step, until));
        }
        let (mut frames, mut cut_off) = (0, 0);
        for (taken, ended) in running.join_all().await {
            frames += taken;
            cut_off += ended;
        }
        println!("{name}: {frames} steps taken, {cut_off} connections cut off");
        assert!(!must_be_cut_off || cut_off >= CONNECTIONS, "{name}: not cut off");
        watch.end(name, 60).await;
    }
}

/// Floods, and comes again when it is cut off; the steps that were taken, and how often it was.
async fn flood_again(server: Arc<TestServer>, trust: Trust, step: Step, until: Instant) -> (u32, usize) {
    let (mut steps, mut cut_off) = (0, 0);
    while Instant::now() < until {
        let (taken, ended) = flood(trust.connect(&server).await.expect("a connection"), step, until).await;
        steps += taken;
        cut_off += usize::from(ended);
    }
    (steps, cut_off)
}

/// Sends as fast as the server takes it; the steps it took, and whether it ended the connection.
async fn flood(mut tls: TlsStream<TcpStream>, step: Step, until: Instant) -> (u32, bool) {
    let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
    tls.write_all(&hello).await.expect("a connection takes its first bytes");
    let mut taken = 0;
    while Instant::now() < until {
        let bytes: Vec<u8> = (taken..taken + 20).flat_map(step).collect();
        match tokio::time::timeout_at(until.into(), tls.write_all(&bytes)).await {
            Ok(Ok(())) => taken += 20,
            Ok(Err(_)) => return (taken, true),
            // It takes no more while its answers are not read: that bounds it too.
            Err(_) => break,
        }
    }
    // What it said meanwhile: an end of the connection, or not.
    let end = async { while let Ok(1..) = tls.read(&mut [0; 16 << 10]).await {} };
    (taken, tokio::time::timeout(Duration::from_millis(500), end).await.is_ok())
}
