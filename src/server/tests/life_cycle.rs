//! Shutdown, panics, and what every answer carries.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_util::sync::CancellationToken;

use super::{
    super::{Config, health},
    support::*,
};

#[tokio::test]
async fn the_drain_finishes_running_requests_and_closes_idle_ones() {
    let server = TestServer::plain(Config::default()).await;
    let mut running = server.connect().await;
    let (mut used, mut unused) = (server.connect().await, server.connect().await);
    get_on(&mut used, "/").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;

    let start = Instant::now();
    server.shutdown.cancel();
    assert_eq!(read_all(&mut used).await, "");
    assert_eq!(read_all(&mut unused).await, "");
    assert!(start.elapsed() < Duration::from_millis(500), "idle connections close at once");
    assert!(TcpStream::connect(server.address).await.is_err(), "no new connection is taken");

    let answer = read_all(&mut running).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("slow but sure"), "{answer}");
    server.served.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn who_has_just_come_or_been_served_may_ask_once_more_while_the_server_stops() {
    let server = TestServer::plain(Config::default()).await;
    let (mut used, mut unused, mut idle) =
        (server.connect().await, server.connect().await, server.connect().await);
    get_on(&mut used, "/").await;
    get_on(&mut idle, "/").await;
    let start = Instant::now();
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(200)).await;
    for stream in [&mut used, &mut unused] {
        let answer = exchange(stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer.ends_with("hello") && answer.contains("connection: close\r\n"), "{answer}");
    }
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    assert_eq!(read_all(&mut idle).await, "");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_drain_of_tls_and_http2_ends_soon_when_idle() {
    let server = TestServer::tls(Config::default()).await;
    let mut http1 = server.connect_tls().await;
    get_on(&mut http1, "/").await;
    let (client, url) = http2_client(&server, "/");
    assert_eq!(client.get(url).send().await.unwrap().text().await.unwrap(), "hello");
    let start = Instant::now();
    server.shutdown.cancel();
    assert_eq!(read_all(&mut http1).await, "");
    server.served.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_drain_deadline_ends_what_does_not_end() {
    let config = Config { drain_deadline: Duration::from_millis(300), ..Config::default() };
    let server = TestServer::plain(config).await;
    let mut endless = server.connect().await;
    endless.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
    assert!((300..2000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let server = TestServer::plain(Config { max_connections: 1, ..Config::default() }).await;
    let mut first = server.connect().await;
    get_on(&mut first, "/").await;
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), read_answer(&mut second)).await;
    assert!(early.is_err(), "the second connection was served beside the first");
    drop(first);
    assert!(read_answer(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_server_goes_on() {
    let server = TestServer::plain(Config::default()).await;
    let mut stream = server.connect().await;
    let answer = get_on(&mut stream, "/panic").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    assert!(answer.ends_with(r#"{"errors":[{"code":"UNKNOWN","message":"internal error"}]}"#), "{answer}");
    assert!(get_on(&mut stream, "/").await.ends_with("hello"));
}

#[tokio::test]
async fn every_answer_is_nosniff_and_has_an_id_of_ours() {
    let server = TestServer::plain(Config::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /remote HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n").await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
    assert!(answer.contains("x-request-id: ") && !answer.contains("mine"), "{answer}");
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
    assert!(get_on(&mut stream, "/nothing").await.contains("x-content-type-options: nosniff\r\n"));
}

#[tokio::test]
async fn whoever_asks_for_readiness_the_check_is_made_once_a_second() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };
    use tower::ServiceExt;
    let checks = Arc::new(AtomicUsize::new(0));
    let counted = checks.clone();
    let readiness: health::Readiness = Arc::new(move || {
        counted.fetch_add(1, Relaxed);
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(())
        })
    });
    let router = health::router(readiness, CancellationToken::new());
    let ask = || {
        let request = axum::http::Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
        router.clone().oneshot(request)
    };
    // Who goes away takes the check along for nobody.
    assert!(tokio::time::timeout(Duration::from_millis(1), ask()).await.is_err());
    for answer in futures_util::future::join_all((0..100).map(|_| ask())).await {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    assert_eq!(checks.load(Relaxed), 1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    assert_eq!(checks.load(Relaxed), 2);
}

#[tokio::test]
async fn readiness_follows_the_check_and_the_shutdown() {
    use tower::ServiceExt;
    let status = async |path: &str, ready: bool, shutdown: &CancellationToken| {
        let readiness: health::Readiness = std::sync::Arc::new(move || {
            Box::pin(async move { if ready { Ok(()) } else { Err("storage is away".to_owned()) } })
        });
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        health::router(readiness, shutdown.clone()).oneshot(request).await.unwrap().status()
    };
    let shutdown = CancellationToken::new();
    assert_eq!(status("/readyz", true, &shutdown).await, StatusCode::OK);
    assert_eq!(status("/readyz", false, &shutdown).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status("/healthz", false, &shutdown).await, StatusCode::OK);
    shutdown.cancel();
    assert_eq!(status("/readyz", true, &shutdown).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status("/healthz", true, &shutdown).await, StatusCode::OK);
}

#[tokio::test]
async fn a_change_is_seen_to_its_end_when_the_client_goes_away_and_the_drain_waits_for_it() {
    let server = TestServer::tls(Config::default()).await;
    let mut http1 = server.connect_tls().await;
    http1.write_all(b"PUT /change HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let (client, url) = http2_client(&server, "/change");
    // Its stream is reset when nobody waits for the answer any more.
    let left = tokio::time::timeout(Duration::from_millis(200), client.put(url).send()).await;
    assert!(left.is_err(), "answered before half a second: {left:?}");
    drop(http1);
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
    assert_eq!(server.changes.load(Ordering::Relaxed), 2);
}
