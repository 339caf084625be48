//! What is too slow is ended, what is only idle is not.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    super::{Config, Limits},
    support::*,
};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn an_idle_connection_outlives_the_header_limit_and_ends_at_its_own() {
    let config = Config { header_timeout: SHORT, idle_timeout: Duration::from_secs(3), ..Config::default() };
    let server = TestServer::plain(config).await;
    let mut stream = server.connect().await;
    get_on(&mut stream, "/").await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert!(get_on(&mut stream, "/").await.ends_with("hello"));
    let start = Instant::now();
    assert_eq!(read_all(&mut stream).await, "");
    assert!((2500..4000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_trickling_head_is_cut_off() {
    let server = TestServer::plain(Config { header_timeout: SHORT, ..Config::default() }).await;
    let mut stream = server.connect().await;
    get_on(&mut stream, "/").await;
    let start = Instant::now();
    let mut written = Ok(());
    for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: aaaaaaaaaaaaaaaaaaaaaaaa" {
        written = stream.write_all(&[*byte]).await;
        if written.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(written.is_err(), "the server went on reading for {:?}", start.elapsed());
    assert!(start.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_cut_off() {
    let server = TestServer::tls(Config { handshake_timeout: SHORT, ..Config::default() }).await;
    let (mut silent, mut half) = (server.connect().await, server.connect().await);
    half.write_all(b"\x16\x03\x01").await.unwrap();
    let start = Instant::now();
    assert_eq!(read_all(&mut silent).await, "");
    let mut rest = Vec::new();
    drop(half.read_to_end(&mut rest).await); // an end or a reset, as long as it is soon
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_stalled_request_body_fails_and_the_handler_can_answer() {
    let limits = Limits { request_min_rate: 0, ..Limits::default() }.into();
    let server = TestServer::plain(Config { request_stall: SHORT, limits, ..Config::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n").await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(SHORT * 2 / 3).await; // slow, but never stalled
        stream.write_all(b"x").await.unwrap();
    }
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("kind: TimedOut"), "{answer}");
}

/// Sends `count` pieces of `size` bytes, six in each span that the rate is looked at; the answer.
async fn drip(count: usize, size: usize) -> String {
    let limits = Limits { request_min_rate: 1000, ..Limits::default() }.into();
    let server = TestServer::plain(Config { request_stall: SHORT * 3, limits, ..Config::default() }).await;
    let mut stream = server.connect().await;
    let head = format!(
        "POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        count * size
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..count {
        tokio::time::sleep(SHORT / 2).await;
        if stream.write_all(&vec![b'x'; size]).await.is_err() {
            break;
        }
    }
    read_all(&mut stream).await
}

#[tokio::test]
async fn a_body_that_drips_fails_and_one_that_keeps_the_rate_has_all_the_time_it_needs() {
    let answer = drip(20, 1).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too slowly"), "{answer:?}");
    let answer = drip(12, 400).await;
    assert!(answer.ends_with("4800"), "{answer}");
}

#[tokio::test]
async fn an_answer_nobody_reads_is_given_up() {
    let server = TestServer::plain(Config { response_stall: SHORT, ..Config::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(SHORT * 4).await;
    let mut seen = 0;
    let mut space = vec![0; 1 << 20];
    let ended = tokio::time::timeout(Duration::from_secs(5), async {
        while let Ok(count @ 1..) = stream.read(&mut space).await {
            seen += count;
        }
    });
    assert!(ended.await.is_ok(), "still answering after {seen} bytes");
}

/// There is one slot, and an HTTP/2 connection holds it: whoever comes next is served once that one is closed.
async fn assert_slot_is_freed(server: &TestServer) {
    let start = Instant::now();
    let next = async {
        let mut next = server.connect_tls().await;
        get_on(&mut next, "/").await
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), next).await;
    assert!(answer.expect("the slot is freed").ends_with("hello"));
    assert!(start.elapsed() >= SHORT, "freed too early: {:?}", start.elapsed());
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let config = Config { idle_timeout: SHORT * 2, max_connections: 1, ..Config::default() };
    let server = TestServer::tls(config).await;
    let (client, url) = http2_client(&server, "/slow"); // longer than the limit, and yet not idle
    assert_eq!(client.get(url).send().await.unwrap().text().await.unwrap(), "slow but sure");
    assert_slot_is_freed(&server).await;
}

#[tokio::test]
async fn an_http2_answer_nobody_reads_is_given_up() {
    let config = Config { response_stall: SHORT * 2, max_connections: 1, ..Config::default() };
    let server = TestServer::tls(config).await;
    let (client, url) = http2_client(&server, "/endless");
    let unread = client.get(url).send().await.unwrap();
    assert_slot_is_freed(&server).await;
    assert!(unread.bytes().await.is_err());
}
