//! A request that is answered while its body still streams: the client must be able to read the answer.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{super::Config, support::*};

const BODY: usize = 50 << 20;

/// Sends all of a 50 MB body before looking at the answer, as a client would that does not read while it
/// writes: a reset would make the write or the read fail.
async fn rejected_while_sending<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, chunked: bool) {
    let framing =
        if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {BODY}") };
    let head = format!("PATCH /reject HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..BODY / piece.len() {
        if chunked {
            stream.write_all(b"100000\r\n").await.unwrap();
        }
        stream.write_all(&piece).await.unwrap();
        if chunked {
            stream.write_all(b"\r\n").await.unwrap();
        }
    }
    stream.flush().await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("who are you?"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_client_reads_the_status() {
    let server = TestServer::plain(Config::default()).await;
    rejected_while_sending(server.connect().await, false).await;
    rejected_while_sending(server.connect().await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_client_reads_the_status() {
    let server = TestServer::tls(Config::default()).await;
    rejected_while_sending(server.connect_tls().await, false).await;
    rejected_while_sending(server.connect_tls().await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_client_reads_the_status() {
    let server = TestServer::tls(Config::default()).await;
    let (client, url) = http2_client(&server, "/reject");
    for _ in 0..3 {
        let pieces =
            futures_util::stream::iter((0..50).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1 << 20])));
        let answer = client.patch(&url).body(reqwest::Body::wrap_stream(pieces)).send().await.unwrap();
        assert_eq!((answer.version(), answer.status().as_u16()), (axum::http::Version::HTTP_2, 401));
        assert_eq!(answer.text().await.unwrap(), "who are you?");
    }
}

#[tokio::test]
async fn expect_continue_is_answered_without_the_body() {
    let server = TestServer::plain(Config::default()).await;
    let mut stream = server.connect().await;
    let head = "PUT /reject HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_that_was_read_keeps_the_connection() {
    let server = TestServer::plain(Config::default()).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream
            .write_all(
                b"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            )
            .await
            .unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n3"), "{answer}");
        assert!(!answer.contains("connection:"), "{answer}");
    }
}

#[tokio::test]
async fn the_lingering_close_is_bounded() {
    let mut config = Config::default();
    config.linger.time = std::time::Duration::from_millis(300);
    let server = TestServer::plain(config).await;
    let mut stream = server.connect().await;
    let start = std::time::Instant::now();
    stream.write_all(b"PUT /reject HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(start.elapsed() < std::time::Duration::from_millis(250), "the answer and its end come at once");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    stream.write_all(b"still here?").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(stream.write_all(b"gone").await.is_err(), "the server has let go of the connection");
}
