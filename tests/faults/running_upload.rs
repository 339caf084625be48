//! An upload whose request is on its way when something happens to the volume.

use std::{convert::Infallible, fs, path::Path, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::support::{
    client::{Answer, Client, NoAnswer},
    image::sha256,
    registry::wait_for,
};

/// More than the server gathers before it writes; one in memory, however many are on their way.
static PIECE: [u8; 600_000] = [b'x'; 600_000];

/// A PATCH of which a piece is on the volume, and which goes on when the test says so.
pub(crate) struct RunningUpload {
    location: String,
    pieces: mpsc::UnboundedSender<Bytes>,
    request: JoinHandle<Result<Answer, NoAnswer>>,
}

impl RunningUpload {
    pub(crate) async fn begin(client: &Client, repository: &str, volume: &Path) -> Self {
        let started = client.send("POST", &format!("/v2/{repository}/blobs/uploads/"), b"").await;
        let location = started.header("location").to_owned();
        let (pieces, receiver) = mpsc::unbounded_channel::<Bytes>();
        let body = stream::unfold(receiver, |mut receiver| async move {
            let piece = receiver.recv().await?;
            Some((Ok::<_, Infallible>(piece), receiver))
        });
        let (to, client) = (location.clone(), client.clone());
        let body = reqwest::Body::wrap_stream(body);
        let request = tokio::spawn(async move { client.try_send("PATCH", &to, &[], body).await });
        let upload = Self { location, pieces, request };
        upload.go_on();
        let id = upload.location.rsplit('/').next().unwrap_or_default();
        let id = id.split('?').next().unwrap_or_default();
        let uploads = format!("docker/registry/v2/repositories/{repository}/_uploads/{id}");
        let directory = volume.join(uploads);
        wait_for("a piece to be written", || async { has_claimed_bytes(&directory) }).await;
        upload
    }

    /// Sends another piece.
    fn go_on(&self) {
        // Nobody takes it once there is an answer.
        let _ = self.pieces.send(Bytes::from_static(&PIECE));
    }

    /// Sends on; what the request was told then. `None` when the connection was closed under it.
    pub(crate) async fn told(&mut self) -> Option<u16> {
        while !self.request.is_finished() {
            self.go_on();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        (&mut self.request).await.expect("no panic").ok().map(|answer| answer.status)
    }

    /// Sends all of it anew, as soon as the server has given it back.
    pub(crate) async fn finish(&self, client: &Client, bytes: &[u8]) {
        let between = if self.location.contains('?') { '&' } else { '?' };
        let commit = format!("{}{between}digest={}", self.location, sha256(bytes));
        wait_for("an upload to be given back", || async {
            let told = client.send("PUT", &commit, bytes).await;
            assert!(matches!(told.status, 201 | 409), "{}", told.told());
            told.status == 201
        })
        .await;
    }
}

fn has_claimed_bytes(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).expect("the directory of an upload").flatten();
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"data."))
        .any(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > 0))
}
