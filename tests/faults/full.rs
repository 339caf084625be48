//! Volumes that are really full: of bytes, of files, over quota.

use std::{fs, path::Path, time::Duration};

use crate::{
    program::{program, run},
    support::{
        client::{Answer, Client},
        image::{Image, MANIFEST, sha256},
        registry::{expect, pull, push, wait_for},
        server::Server,
        volume::Volume,
    },
};

const REPOSITORY: &str = "team/app";

#[tokio::test]
async fn a_tmpfs_without_bytes() {
    full_of_bytes(&Volume::in_memory("size=128m")).await;
}

#[tokio::test]
async fn an_ext4_without_bytes() {
    full_of_bytes(&Volume::on_loop_device("mkfs.ext4", "e2fsprogs", &["-q"], 128)).await;
}

/// Uploads are refused early, all else goes on, and so do uploads once there is room.
async fn full_of_bytes(volume: &Volume) {
    let server = Server::plain(volume.root());
    let client = server.client();
    let (before, after) = (Image::new(1, 100_000, None), Image::new(2, 3_000_000, None));
    push(&client, REPOSITORY, "before", &before).await.expect("room for the first image");
    let upload = begin(&client, &after.layer()[..1_000_000]).await;

    // Less than is kept for metadata, which is a twentieth of so small a volume.
    let filler = volume.fill(2 << 20);
    wait_for("an upload to be refused", || async { !began_and_ended(&client).await }).await;
    refused(&post(&client).await);
    let at_once = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", sha256(after.layer()));
    refused(&client.send("POST", &at_once, after.layer()).await);
    refused(&client.send("PATCH", &upload, &after.layer()[1_000_000..]).await);
    assert_eq!(acknowledged(&client, &upload).await, 1_000_000, "the upload is as it was acknowledged");
    all_else_goes_on(&client, &before).await;
    drop(filler);
    wait_for("an upload to be taken", || async { began_and_ended(&client).await }).await;
    finish(&client, &upload, after.layer(), 1_000_000).await;

    // Now a chunk that begins while there is room.
    let upload = begin(&client, &after.layer()[..500_000]).await;
    let filler = volume.fill(20 << 20);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let large = crate::support::image::bytes(7, 60 << 20);
    refused(&client.send("PATCH", &upload, &large).await);
    assert_eq!(acknowledged(&client, &upload).await, 500_000, "the upload is as it was acknowledged");
    drop(filler);
    wait_for("an upload to be taken", || async { began_and_ended(&client).await }).await;
    finish(&client, &upload, after.layer(), 500_000).await;

    // Not even metadata fits: still nothing breaks, and what frees room works.
    let filler = volume.fill(0);
    let path = format!("/v2/{REPOSITORY}/manifests/before");
    pull(&client, REPOSITORY, "before", &before).await.expect("pulls go on");
    assert_eq!(client.send("GET", "/readyz", b"").await.status, 200, "ready on a full volume");
    assert_eq!(client.send("DELETE", &path, b"").await.status, 202, "deletes go on");
    drop(filler);
    wait_for("an upload to be taken", || async { began_and_ended(&client).await }).await;
    push(&client, REPOSITORY, "after", &after).await.expect("the same image pushes");
    pull(&client, REPOSITORY, "after", &after).await.expect("and pulls");
    nothing_left(volume);
}

#[tokio::test]
async fn a_tmpfs_without_files() {
    let volume = Volume::in_memory("size=256m,nr_inodes=2000");
    let server = Server::plain(volume.root());
    let client = server.client();
    let (before, after) = (Image::new(1, 100_000, None), Image::new(2, 100_000, None));
    push(&client, REPOSITORY, "before", &before).await.expect("room for the first image");
    let directory = volume.root().join("files");
    fs::create_dir(&directory).expect("a directory");
    let mut number = 0;
    while fs::write(directory.join(number.to_string()), b"").is_ok() {
        number += 1;
    }
    wait_for("an upload to be refused", || async { !began_and_ended(&client).await }).await;
    refused(&post(&client).await);
    pull(&client, REPOSITORY, "before", &before).await.expect("pulls go on");
    assert_eq!(client.send("GET", "/readyz", b"").await.status, 200, "ready on a full volume");
    refused(&tag(&client, "new", &before).await);
    let path = format!("/v2/{REPOSITORY}/manifests/before");
    assert_eq!(client.send("DELETE", &path, b"").await.status, 202, "deletes go on");
    fs::remove_dir_all(&directory).expect("our files");
    wait_for("an upload to be taken", || async { began_and_ended(&client).await }).await;
    push(&client, REPOSITORY, "after", &after).await.expect("the same image pushes");
    pull(&client, REPOSITORY, "after", &after).await.expect("and pulls");
    nothing_left(&volume);
}

/// A quota of a btrfs subvolume: kernels without quota files have it too, and no number of statfs shows it.
#[tokio::test]
async fn a_btrfs_subvolume_over_its_quota() {
    let volume = Volume::on_loop_device("mkfs.btrfs", "btrfs-progs", &["-q"], 256);
    let root = volume.root().join("share");
    let btrfs = |arguments: &[&str], path: &Path| {
        run(program("btrfs", "btrfs-progs").args(arguments).arg(path));
    };
    btrfs(&["quota", "enable"], volume.root());
    btrfs(&["subvolume", "create"], &root);
    btrfs(&["qgroup", "limit", "24M"], &root);
    let server = Server::plain(&root);
    let client = server.client();
    let (before, after) = (Image::new(1, 100_000, None), Image::new(2, 2_000_000, None));
    push(&client, REPOSITORY, "before", &before).await.expect("room for the first image");
    let upload = begin(&client, &after.layer()[..1_000_000]).await;
    let large = crate::support::image::bytes(7, 40 << 20);
    refused(&client.send("PATCH", &upload, &large).await);
    refused(&post(&client).await);
    assert_eq!(acknowledged(&client, &upload).await, 1_000_000, "the upload is as it was acknowledged");
    pull(&client, REPOSITORY, "before", &before).await.expect("pulls go on");
    // btrfs over a quota cuts no file: what the broken chunk took stays until there is room.
    refused(&tag(&client, "new", &before).await);
    assert_eq!(client.send("GET", "/readyz", b"").await.status, 200, "ready over a quota");
    btrfs(&["qgroup", "limit", "100M"], &root);
    wait_for("an upload to be taken", || async { began_and_ended(&client).await }).await;
    all_else_goes_on(&client, &before).await;
    finish(&client, &upload, after.layer(), 1_000_000).await;
    push(&client, REPOSITORY, "after", &after).await.expect("the same image pushes");
    pull(&client, REPOSITORY, "after", &after).await.expect("and pulls");
    let findings = crate::support::volume::examine_tree(&root.join("docker/registry/v2"));
    assert!(findings.broken.is_empty() && findings.left.is_empty(), "{findings:?}");
}

async fn all_else_goes_on(client: &Client, image: &Image) {
    pull(client, REPOSITORY, "before", image).await.expect("pulls go on");
    let path = format!("/v2/{REPOSITORY}/manifests/another");
    let put = tag(client, "another", image).await;
    assert_eq!(put.status, 201, "a tag needs only the room that is kept: {}", put.told());
    assert_eq!(client.send("DELETE", &path, b"").await.status, 202, "deletes go on");
    for path in ["/readyz", "/healthz", "/v2/", "/v2/_catalog", "/ui/login", "/ui/"] {
        let answer = client.send("GET", path, b"").await;
        assert!(matches!(answer.status, 200 | 303), "{path}: {}", answer.told());
    }
}

#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!(answer.told(), "507 DENIED");
    assert!(!answer.bytes().is_empty(), "with a text");
}

async fn tag(client: &Client, tag: &str, image: &Image) -> Answer {
    let path = format!("/v2/{REPOSITORY}/manifests/{tag}");
    client.send_as("PUT", &path, &[("content-type", MANIFEST)], &image.manifest).await
}

async fn post(client: &Client) -> Answer {
    client.send("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), b"").await
}

async fn began_and_ended(client: &Client) -> bool {
    let started = post(client).await;
    if started.status != 202 {
        return false;
    }
    client.send("DELETE", started.header("location"), b"").await.status == 204
}

async fn begin(client: &Client, bytes: &[u8]) -> String {
    let started = post(client).await;
    assert_eq!(started.status, 202, "{}", started.told());
    let location = started.header("location").to_owned();
    let patched = client.send("PATCH", &location, bytes).await;
    assert_eq!(patched.status, 202, "{}", patched.told());
    location
}

async fn acknowledged(client: &Client, upload: &str) -> usize {
    let status = client.send("GET", upload, b"").await;
    assert_eq!(status.status, 204, "the upload is there: {}", status.told());
    status.header("range").trim_start_matches("0-").parse::<usize>().map_or(0, |last| last + 1)
}

async fn finish(client: &Client, upload: &str, layer: &[u8], from: usize) {
    let path = format!("{upload}?digest={}", sha256(layer));
    let put = client.try_send("PUT", &path, &[], layer[from..].to_vec()).await;
    expect(put, &[201], "PUT that ends the upload").expect("the upload goes on");
}

#[track_caller]
fn nothing_left(volume: &Volume) {
    let findings = volume.examine();
    assert!(findings.broken.is_empty() && findings.left.is_empty(), "{findings:?}");
}
