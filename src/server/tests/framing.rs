//! Requests that are refused before a handler sees them.

use super::{super::Config, support::*};

#[track_caller]
fn assert_refused(answer: &str, status: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "no further request was served: {answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    if status != "408" {
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        let errors: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert!(errors["errors"][0]["code"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let server = TestServer::plain(Config::default()).await;
    let smuggled = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4,4\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Accept: x\nContent-Length: 5\r\n",
        "Accept: x\r\n folded\r\n",
        "Content-Length : 4\r\n",
        "Host: b\r\n",
    ] {
        let request = format!("POST /count HTTP/1.1\r\nHost: a\r\n{framing}\r\n0\r\n\r\n{smuggled}");
        let answer = exchange(&mut server.connect().await, &request).await;
        assert_refused(&answer, "400");
    }
    assert_refused(&exchange(&mut server.connect().await, "GET / HTTP/1.1\r\n\r\n").await, "400");
}

#[tokio::test]
async fn a_refusal_is_found_when_the_head_comes_in_pieces() {
    use tokio::io::AsyncWriteExt;
    let server = TestServer::plain(Config::default()).await;
    let mut stream = server.connect().await;
    let head = b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
    for piece in head.chunks(7) {
        stream.write_all(piece).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_refused(&read_all(&mut stream).await, "400");
}

#[tokio::test]
async fn a_malformed_chunk_fails_the_body() {
    let server = TestServer::plain(Config::default()).await;
    let request =
        "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n";
    let answer = exchange(&mut server.connect().await, request).await;
    assert_refused(&answer, "408"); // the test's handler maps every body error to 408
}

#[tokio::test]
async fn oversize_heads_are_answered_431() {
    let server = TestServer::plain(Config::default()).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "c".repeat(200 << 10));
    assert_refused(&exchange(&mut server.connect().await, &long).await, "431");
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(200));
    assert_refused(&exchange(&mut server.connect().await, &many).await, "431");
    let large =
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {}\r\n\r\n", "c".repeat(60 << 10));
    let answer = exchange(&mut server.connect().await, &large).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "60 KiB are fine: {answer}");
}

#[tokio::test]
async fn the_wrong_protocol_is_answered_in_words() {
    let server = TestServer::tls(Config::default()).await;
    let answer = exchange(&mut server.connect().await, "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("this is an HTTPS port"), "{answer}");

    let server = TestServer::plain(Config::default()).await;
    let hello = "\u{16}\u{3}\u{1}\u{1}\u{2}\u{1}";
    let answer = exchange(&mut server.connect().await, hello).await;
    assert!(answer.starts_with("HTTP/1.0 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("this is a plain HTTP port"), "{answer}");
}
