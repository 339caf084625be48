//! Heads without end over HTTP/1.1: of many fields, and of one long field.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::watch::Watch;
use crate::support::wire::Trust;
use crate::support::{Options, TestServer};

/// At once; each sends this many bytes if nobody stops it.
const CONNECTIONS: usize = 50;
const BYTES: usize = 4 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_end_are_refused() {
    let server = TestServer::start(Options::default());
    let watch = Watch::begin(&server).await;
    let trust = Trust::of(&[server.ca_certificate()]);
    for piece in [&b"A: b\r\n"[..], b"aaaaaaaaaaaaaaaa"] {
        let mut running = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let stream = trust.connect(&server).await.expect("a connection");
            running.spawn(flood(stream, piece.repeat(4096 / piece.len())));
        }
        for answer in running.join_all().await {
            let answer = answer.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    }
    watch.end("heads without end", 60).await;
}

async fn flood(stream: TlsStream<TcpStream>, piece: Vec<u8>) -> io::Result<String> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let send = async {
        writing.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX: ").await?;
        for _ in 0..BYTES / piece.len() {
            writing.write_all(&piece).await?;
        }
        writing.flush().await
    };
    let mut answer = String::new();
    let receive = async {
        let mut space = [0; 1024];
        let length = reading.read(&mut space).await?;
        answer.push_str(&String::from_utf8_lossy(&space[..length]));
        Ok::<_, io::Error>(())
    };
    // The server may have enough of it at any time; what it said counts.
    let (_, received) = tokio::join!(send, receive);
    received.map(|()| answer)
}
