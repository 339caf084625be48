//! Whose an upload is when its server is slow or dead: judged by the clock of the file server, which may be minutes
//! from that of every server.

use std::{thread, time::Duration};

use bytes::Bytes;
use pakhuis::oci::Algorithm;
use reqwest::{Method, StatusCode, header};
use tokio::task::JoinHandle;

use crate::{
    image::Blob,
    random::Random,
    strict_file_system::faults::{Effect, Fault, Operation},
    two_clients::{Pair, REPOSITORY, pair},
};

/// Ten minutes ahead of the servers, the same, ten minutes behind.
const CLOCKS: [i64; 3] = [600, 0, -600];

/// An upload through the first server that has acknowledged the first half and hangs in the middle of the second.
struct Upload {
    pair: Pair,
    blob: Blob,
    path: String,
    second_half: JoinHandle<u16>,
}

impl Upload {
    fn new(clock: i64) -> Self {
        let pair = pair(Duration::ZERO);
        pair.store.set_clock(clock);
        let blob = Blob::new(Algorithm::Sha256, Random(clock.unsigned_abs()).bytes(40_000));
        let started = pair.runtime.block_on(request(&pair, 0, Method::POST, UPLOADS, Bytes::new(), None));
        let path = started.expect("an answer").headers()[header::LOCATION].to_str().expect("text").to_owned();
        assert_eq!(patch(&pair, 0, &path, &blob, 0), 202);
        let write = Fault::once(&[Operation::Write], Effect::Hang).on_path("_uploads");
        pair.mounts[0].gate().add(write);
        let second_half = pair.runtime.spawn(chunk(&pair, 0, &path, &blob, HALF));
        while pair.mounts[0].gate().hanging() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        Self { pair, blob, path, second_half }
    }

    /// What the first server said to the second half; 0 when it died.
    fn answer(&mut self) -> u16 {
        self.pair.runtime.block_on(&mut self.second_half).expect("no panic")
    }

    /// Sends the second half through the other server.
    fn go_on_elsewhere(&self) -> u16 {
        patch(&self.pair, 1, &self.path, &self.blob, HALF)
    }

    /// Ends the upload through the other server and reads the blob there.
    fn finish_elsewhere(&self) {
        let commit = format!("{}?digest={}", self.path, self.blob.digest);
        let blob = format!("/v2/{REPOSITORY}/blobs/{}", self.blob.digest);
        let (committed, bytes) = self
            .pair
            .runtime
            .block_on(async {
                let committed = request(&self.pair, 1, Method::PUT, &commit, Bytes::new(), None).await?;
                let read = request(&self.pair, 1, Method::GET, &blob, Bytes::new(), None).await?;
                Ok::<_, reqwest::Error>((committed.status(), read.bytes().await?))
            })
            .expect("answers");
        assert_eq!(committed, StatusCode::CREATED);
        assert!(bytes == self.blob.bytes, "the bytes of both halves");
    }
}

const UPLOADS: &str = "/v2/team/app/blobs/uploads/";
const HALF: usize = 20_000;

fn request(
    pair: &Pair,
    server: usize,
    method: Method,
    path: &str,
    body: Bytes,
    range: Option<String>,
) -> impl Future<Output = reqwest::Result<reqwest::Response>> + Send + 'static {
    let url = format!("http://{}{path}", pair.servers[server].address());
    let mut request = pair.http.request(method, url).body(body);
    if let Some(range) = range {
        request = request.header(header::CONTENT_RANGE, range);
    }
    request.send()
}

/// The status of the half of the blob that begins at `from`; 0 when the server died.
fn chunk(
    pair: &Pair,
    server: usize,
    path: &str,
    blob: &Blob,
    from: usize,
) -> impl Future<Output = u16> + Send + 'static {
    let range = format!("{from}-{}", from + HALF - 1);
    let body = blob.bytes.slice(from..from + HALF);
    let sent = request(pair, server, Method::PATCH, path, body, Some(range));
    async move { sent.await.map_or(0, |answer| answer.status().as_u16()) }
}

fn patch(pair: &Pair, server: usize, path: &str, blob: &Blob, from: usize) -> u16 {
    pair.runtime.block_on(chunk(pair, server, path, blob, from))
}

#[test]
fn an_upload_in_use_stays_with_its_server_whatever_the_clocks_say() {
    for clock in CLOCKS {
        let mut upload = Upload::new(clock);
        assert_eq!(upload.go_on_elsewhere(), 409, "in use, the file server {clock} s ahead");
        upload.pair.mounts[0].gate().resume();
        assert_eq!(upload.answer(), 202, "the first server goes on, the file server {clock} s ahead");
        upload.finish_elsewhere();
    }
}

#[test]
fn an_upload_of_a_server_that_was_killed_is_taken_over_two_minutes_later() {
    for clock in CLOCKS {
        let mut upload = Upload::new(clock);
        // What waits for the volume cannot be killed: the volume is taken from the server first.
        upload.pair.mounts[0].gate().abandon();
        upload.pair.servers[0].kill();
        assert_ne!(upload.answer(), 202, "bytes that nobody has are not acknowledged");
        assert_eq!(upload.go_on_elsewhere(), 409, "it may be slow, the file server {clock} s ahead");
        upload.pair.store.set_clock(clock + 60);
        assert_eq!(upload.go_on_elsewhere(), 409, "a minute later, the file server {clock} s ahead");
        upload.pair.store.set_clock(clock + 121);
        assert_eq!(upload.go_on_elsewhere(), 202, "two minutes later, the file server {clock} s ahead");
        upload.finish_elsewhere();
    }
}
