//! Volumes that may not be written, wholly or in parts: pulls go on, and nothing that is there is denied.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{
    client::{Answer, Client},
    image::{Image, MANIFEST, sha256},
    registry::{pull, push, wait_for},
    server::Server,
    volume::Volume,
};

const REPOSITORY: &str = "team/app";

/// Any user that is nobody on the machine.
const UID: u32 = 54321;

#[tokio::test]
async fn a_volume_that_becomes_read_only_and_comes_back() {
    let volume = Volume::on_loop_device("mkfs.ext4", "e2fsprogs", &["-q"], 128);
    let mut server = Server::plain(volume.root());
    let client = server.client();
    let (before, after) = (Image::new(1, 100_000, None), Image::new(2, 100_000, None));
    push(&client, REPOSITORY, "before", &before).await.expect("a push before");
    let upload = post(&client).await.header("location").to_owned();
    // A cancellation that fails is done once the volume works, so it is another upload's.
    let unwanted = post(&client).await.header("location").to_owned();

    volume.remount(true);
    writes_are_refused(&client, &upload, &unwanted, &before).await;
    pull(&client, REPOSITORY, "before", &before).await.expect("pulls go on");
    // A server that starts now serves too.
    server.restart();
    let client = server.client();
    pull(&client, REPOSITORY, "before", &before).await.expect("pulls of a server that starts go on");
    writes_are_refused(&client, &upload, &unwanted, &before).await;

    volume.remount(false);
    wait_for("the server to be ready", || async { ready(&client).await == 200 }).await;
    let path = format!("{upload}?digest={}", sha256(after.layer()));
    assert_eq!(client.send("PUT", &path, after.layer()).await.status, 201, "the upload goes on");
    push(&client, REPOSITORY, "after", &after).await.expect("the same image pushes");
    pull(&client, REPOSITORY, "after", &after).await.expect("and pulls");
    let findings = volume.examine();
    assert!(findings.broken.is_empty() && findings.left.is_empty(), "{findings:?}");
}

async fn writes_are_refused(client: &Client, upload: &str, unwanted: &str, image: &Image) {
    unavailable("POST", &post(client).await);
    unavailable("PATCH", &client.send("PATCH", upload, b"more").await);
    let path = format!("{upload}?digest={}", sha256(b"more"));
    unavailable("PUT of a blob", &client.send("PUT", &path, b"more").await);
    unavailable("DELETE of the upload", &client.send("DELETE", unwanted, b"").await);
    let path = format!("/v2/{REPOSITORY}/manifests/new");
    let put = client.send_as("PUT", &path, &[("content-type", MANIFEST)], &image.manifest).await;
    unavailable("PUT of a manifest", &put);
    for path in [
        format!("/v2/{REPOSITORY}/manifests/before"),
        format!("/v2/{REPOSITORY}/manifests/{}", image.digest()),
        format!("/v2/{REPOSITORY}/blobs/{}", sha256(image.layer())),
    ] {
        unavailable("DELETE", &client.send("DELETE", &path, b"").await);
    }
    assert_eq!(ready(client).await, 503, "not ready");
    assert_eq!(client.send("GET", "/healthz", b"").await.status, 200, "but alive");
}

/// Each part of the tree taken from the server's account: 503 for what cannot be asked, never a 404, and all is as
/// before when the rights are back.
#[tokio::test]
async fn parts_of_the_tree_without_permission() {
    let volume = Volume::in_memory("size=64m,mode=777");
    let server = Server::as_user(volume.root(), UID);
    let client = server.client();
    let (before, after) = (Image::new(1, 100_000, None), Image::new(2, 100_000, None));
    push(&client, REPOSITORY, "before", &before).await.expect("a push with all rights");
    let repository = volume.v2().join("repositories/team/app");
    let blobs = volume.v2().join("blobs/sha256");
    let parts = ["_layers", "_manifests/revisions", "_manifests/tags", "_manifests/tags/before", "_uploads"];
    for part in parts.map(|part| repository.join(part)).into_iter().chain([repository.clone(), blobs]) {
        for mode in [0o000, 0o555] {
            let _taken = Taken::new(&part, mode);
            let what = format!("{} with mode {mode:03o}", part.display());
            let writable_elsewhere = [200, 201, 202, 503];
            for (method, path) in [
                ("GET", format!("/v2/{REPOSITORY}/manifests/before")),
                ("HEAD", format!("/v2/{REPOSITORY}/manifests/before")),
                ("GET", format!("/v2/{REPOSITORY}/manifests/{}", before.digest())),
                ("GET", format!("/v2/{REPOSITORY}/blobs/{}", sha256(before.layer()))),
                ("HEAD", format!("/v2/{REPOSITORY}/blobs/{}", sha256(before.layer()))),
                ("GET", format!("/v2/{REPOSITORY}/tags/list")),
                ("GET", format!("/v2/{REPOSITORY}/referrers/{}", before.digest())),
                ("GET", "/v2/_catalog".to_owned()),
            ] {
                let answer = client.send(method, &path, b"").await;
                let allowed: &[u16] = if mode == 0o555 { &[200] } else { &[200, 503] };
                assert!(allowed.contains(&answer.status), "{what}: {method} {path}: {}", answer.told());
            }
            let path = format!("/v2/{REPOSITORY}/manifests/again");
            let put = client.send_as("PUT", &path, &[("content-type", MANIFEST)], &before.manifest).await;
            assert!(writable_elsewhere.contains(&put.status), "{what}: PUT {path}: {}", put.told());
            if let Err(error) = push(&client, REPOSITORY, "after", &after).await {
                assert!(error.contains(": 503"), "{what}: {error}");
            }
        }
        pull(&client, REPOSITORY, "before", &before).await.expect("all is there with the rights back");
    }
    push(&client, REPOSITORY, "after", &after).await.expect("the same image pushes");
    pull(&client, REPOSITORY, "after", &after).await.expect("and pulls");
    let findings = volume.examine();
    assert!(findings.broken.is_empty(), "{findings:?}");
}

/// The mode of a directory, changed until this is dropped.
struct Taken<'a>(&'a Path, u32);

impl<'a> Taken<'a> {
    fn new(path: &'a Path, mode: u32) -> Self {
        let before = fs::metadata(path).expect("a directory of the tree").permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root");
        Self(path, before)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let _ = fs::set_permissions(self.0, fs::Permissions::from_mode(self.1));
    }
}

#[track_caller]
fn unavailable(what: &str, answer: &Answer) {
    assert_eq!(answer.told(), "503 UNAVAILABLE", "{what}");
    assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{what} says when to try again");
}

async fn post(client: &Client) -> Answer {
    client.send("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), b"").await
}

async fn ready(client: &Client) -> u16 {
    client.send("GET", "/readyz", b"").await.status
}
