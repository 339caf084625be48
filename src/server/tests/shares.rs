//! What one address may have, and whom a request is from behind a proxy.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    super::{Config, Limits},
    support::*,
};

fn config(limits: Limits) -> Config {
    Config { limits: limits.into(), ..Config::default() }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_further_ones_are_closed() {
    let server = TestServer::plain(config(Limits { connections_per_address: 2, ..Limits::default() })).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert!(get_on(&mut first, "/").await.ends_with("hello"));
    assert!(get_on(&mut second, "/").await.ends_with("hello"));
    let mut third = server.connect().await;
    let _ = third.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = third.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{answer:?}");
    drop(first);
    for attempt in 0.. {
        let mut next = server.connect().await;
        let _ = next.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let mut answer = Vec::new();
        let _ = next.read_to_end(&mut answer).await;
        if answer.ends_with(b"hello") {
            break;
        }
        assert!(attempt < 100, "the place of a closed connection is free again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_address_has_so_many_requests_and_further_ones_are_told_to_wait() {
    let server = TestServer::plain(config(Limits { requests_per_address: 1, ..Limits::default() })).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut other = server.connect().await;
    let answer = get_on(&mut other, "/").await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("TOOMANYREQUESTS"), "{answer}");
    assert!(answer.contains("retry-after: 5"), "{answer}");
    assert!(read_all(&mut slow).await.ends_with("slow but sure"));
    assert!(get_on(&mut other, "/").await.ends_with("hello"), "its place is free again");
}

#[tokio::test]
async fn a_proxy_that_is_trusted_names_the_client() {
    let ask = "GET /remote HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1, 198.51.100.7\r\n\
               Connection: close\r\n\r\n";
    let limits = Limits::default();
    let server = TestServer::plain(config(limits.clone())).await;
    let answer = exchange(&mut server.connect().await, ask).await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = TestServer::plain(config(Limits { trusted_proxies, ..limits })).await;
    let answer = exchange(&mut server.connect().await, ask).await;
    assert!(answer.ends_with("198.51.100.7"), "{answer}");
}
