//! One volume, handed from registry to registry: each lists and serves what the one before left, byte for byte.

use std::path::{Path, PathBuf};

use super::fill::{Known, delete, delete_manifest, fill};
use super::observed::{Observed, Totals};
use super::{Server, THREE, TWO, copy_of};
use crate::support::{Api, Reference, TestServer, pakhuis};

/// Which of the two directories ours is given as its root.
#[derive(Clone, Copy)]
enum Root {
    RootDirectory,
    AboveV2,
}

#[tokio::test]
async fn from_2_8_to_ours_to_3_1_to_ours_and_back_to_2_8() {
    travel(&[TWO, Server::Ours, THREE, Server::Ours, TWO, Server::Ours], Root::RootDirectory).await;
}

#[tokio::test]
async fn from_3_1_to_ours_to_2_8_to_ours_and_back_to_3_1_with_the_directory_above_v2_as_root() {
    travel(&[THREE, Server::Ours, TWO, Server::Ours, THREE, Server::Ours], Root::AboveV2).await;
}

#[tokio::test]
async fn from_ours_to_each_of_them_and_back() {
    travel(&[Server::Ours, TWO, Server::Ours, THREE, Server::Ours], Root::RootDirectory).await;
}

/// Each server in turn answers as the one before, then takes a turn of pushes and deletions; after the turn both
/// collectors run over copies of the volume, and each of theirs over the volume itself.
async fn travel(servers: &[Server], root: Root) {
    let volume = tempfile::tempdir().expect("a volume");
    let mut known: Vec<Known> = Vec::new();
    let mut written: Option<Observed> = None;
    let mut totals = Totals::default();
    for (turn, server) in servers.iter().enumerate() {
        let what = format!("turn {turn}, {server:?}");
        if turn > 0 && *server == Server::Ours {
            // Before ours serves it the first time, too: the volume has nothing of ours then.
            verify(&root_for(*server, root, volume.path()), &what);
        }
        let mut running = server.start(&root_for(*server, root, volume.path()));
        if let Some(written) = &written {
            let found = Observed::by(&running, &known).await;
            written.assert_same(&found, &format!("{what}, as it was left"));
            totals.add(&found);
        }
        change(&running, *server, turn, &mut known).await;
        let after = Observed::by(&running, &known).await;
        running.stop();

        collect_copies(volume.path(), &after, &known, &what).await;
        written = Some(after);
        if let Server::Theirs(reference) = server {
            reference.garbage_collect(volume.path(), &[]);
            // It takes blobs that no manifest names, so only manifests and what they name are asked for.
            known.retain(|thing| matches!(thing, Known::Manifest { .. }));
            let mut running = server.start(volume.path());
            written = Some(Observed::by(&running, &known).await);
            running.stop();
        }
    }
    println!("{} handovers: {totals}", servers.len() - 1);
}

fn root_for(server: Server, root: Root, volume: &Path) -> PathBuf {
    match (server, root) {
        (Server::Ours, Root::AboveV2) => {
            let above = volume.join("docker/registry");
            assert!(above.join("v2").is_dir(), "one of theirs was here first");
            above
        }
        _ => volume.to_owned(),
    }
}

/// The check of the whole volume reads all of it. It may find what was done on purpose: a deleted layer, an upload.
#[track_caller]
fn verify(root: &Path, what: &str) {
    let checked =
        pakhuis().args(["verify", "--read-data", "--storage"]).arg(root).output().expect("the program");
    let (out, err) = (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(matches!(checked.status.code(), Some(0 | 3)), "{what}: {out}{err}");
    let summary = out.lines().last().unwrap_or_default();
    assert!(summary.ends_with("; 0 errors"), "{what}: {out}{err}");
    let kinds = ["blob-missing", "layer-link-missing", "layer-link-dangling"];
    let findings = out.lines().filter(|line| !line.starts_with(' ') && line.contains("  no  "));
    for finding in findings {
        assert!(kinds.iter().any(|kind| finding.starts_with(kind)), "{what}: {finding}\n{out}");
    }
    println!("{what}: {summary}");
}

/// A turn of pushes, and changes to what the turn before left.
async fn change(running: &TestServer, server: Server, turn: usize, known: &mut Vec<Known>) {
    let api = Api::new(running);
    known.extend(fill(running, &format!("turn-{turn}")).await);
    if turn == 0 {
        return;
    }
    let before = format!("turn-{}/team/app", turn - 1);
    retag(&api, &before, "v1", "again").await;
    retag(&api, &before, "empty", "moving").await;
    if server != TWO {
        // 2.8 cannot delete a tag.
        delete(&api, &format!("/v2/{before}/manifests/multi")).await;
    }
    delete_manifest(&api, &format!("turn-{}/other/below", turn - 1), "v1").await;
    let image = api.get(&format!("/v2/turn-{}/other/manifests/v1", turn - 1)).await;
    let manifest: serde_json::Value = serde_json::from_slice(&image.body).expect("a manifest");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a layer");
    delete(&api, &format!("/v2/turn-{}/other/blobs/{layer}", turn - 1)).await;
}

/// Gives a manifest another tag by pushing it again.
async fn retag(api: &Api, repository: &str, from: &str, to: &str) {
    let found = api.get(&format!("/v2/{repository}/manifests/{from}")).await;
    assert_eq!(found.status, 200, "{repository}:{from}");
    let put = api.put_manifest(repository, to, found.header("content-type"), found.body.to_vec()).await;
    let put = put.expect("an answer");
    assert_eq!(put.status, 201, "{repository}:{to}: {:?}", put.body);
}

/// Both collectors end well on what was left, and what they keep is everything that is listed.
async fn collect_copies(volume: &Path, after: &Observed, known: &[Known], what: &str) {
    let manifests: Vec<_> =
        known.iter().filter(|thing| matches!(thing, Known::Manifest { .. })).cloned().collect();
    for reference in Reference::ALL {
        let copy = copy_of(volume);
        reference.garbage_collect(copy.path(), &[]);
        let mut ours = Server::Ours.start(copy.path());
        let kept = Observed::by(&ours, &manifests).await;
        ours.stop();
        kept.assert_part_of(after, &format!("{what}, ours after the collection of {reference:?}"));
        reference.garbage_collect(copy.path(), &["-m"]);
    }
}
