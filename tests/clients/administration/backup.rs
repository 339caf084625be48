//! docs/operations.md, "Back up and restore", as it stands there: while pushes go on, into another directory.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::load::{FIFTY, Load};
use crate::support::{Api, ImageSpec, Layout, Options, TestServer, combined, pakhuis, program, run, sha256};

const IMAGES: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_the_back_up_pulls_from_where_it_is_restored() {
    let server = TestServer::start(Options::default());
    let api = Api::new(&server);
    let layout = Layout::create(&server.directory().join("layout"));
    let mut pushed = Vec::new();
    for number in 0..IMAGES {
        let image = layout.add_image(ImageSpec::new(900 + number, 3, 20_000));
        api.push_image("team/app", &format!("v{number}"), &layout, &image).await;
        pushed.push(image);
    }

    let load = Load::begin(&server, FIFTY).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let archive = server.directory().join("images.tar");
    let tree = server.storage_root().join("docker/registry/v2");
    tokio::task::block_in_place(|| back_up(&tree, &archive));
    load.end().await.assert_all_succeeded("a back-up");

    let restored = tempfile::tempdir().expect("another directory");
    let root = restored.path().to_owned();
    let dangling = tokio::task::block_in_place(|| restore(&archive, &root));
    let second = TestServer::start(Options { storage_root: Some(root), ..Options::default() });
    let api = Api::new(&second);
    for (number, image) in pushed.iter().enumerate() {
        let manifest = api.get(&format!("/v2/team/app/manifests/v{number}")).await;
        assert_eq!((manifest.status, sha256(&manifest.body)), (200, image.digest.clone()));
        for part in layout.parts(image) {
            let blob = api.get(&format!("/v2/team/app/blobs/{}", part.digest)).await;
            assert_eq!((blob.status, sha256(&blob.body)), (200, part.digest.clone()));
        }
    }
    // What was pushed meanwhile too, unless its tag was copied after the manifests: then `verify` has said so; or
    // before it named anything: `verify` says so when that is too old to be a push on its way.
    let tags = api.get("/v2/load/app/tags/list").await;
    let tags: serde_json::Value = serde_json::from_slice(&tags.body).expect("JSON");
    let tags = tags["tags"].as_array().expect("a list");
    for tag in tags {
        let tag = tag.as_str().expect("a tag");
        let place = format!("load/app/_manifests/tags/{tag}/");
        let link =
            second.storage_root().join("docker/registry/v2/repositories").join(&place).join("current/link");
        let expected = if dangling.contains(&place) || !link.exists() { 404 } else { 200 };
        assert_eq!(api.get(&format!("/v2/load/app/manifests/{tag}")).await.status, expected, "{tag}");
    }
    println!(
        "{IMAGES} images of before the back-up pull, and {} tags of a time in which it was made",
        tags.len()
    );
}

/// To a place that takes it slowly, so that there are pushes between any two parts of it.
fn back_up(tree: &Path, archive: &Path) {
    let mut tar = program("tar", "tar");
    tar.args(["--create", "--file", "-", "--directory"]).arg(tree);
    tar.args(["--exclude=_uploads", "repositories", "blobs", ".pakhuis"]);
    let mut running = tar.stdout(Stdio::piped()).spawn().expect("tar starts");
    let mut copied = running.stdout.take().expect("piped");
    let mut file = fs::File::create(archive).expect("a file");
    let mut space = [0; 32 << 10];
    loop {
        match copied.read(&mut space).expect("a pipe") {
            0 => break,
            length => file.write_all(&space[..length]).expect("room"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = running.wait().expect("our own child");
    // 1: a file went or changed while it was read, as files of pushes that go on do.
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
}

/// Returns the tags of pushes that went on which `verify` finds without their manifest; it must find nothing else.
fn restore(archive: &Path, root: &Path) -> String {
    let tree = root.join("docker/registry/v2");
    fs::create_dir_all(&tree).expect("a directory");
    let mut tar = Command::new("tar");
    run(tar.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(&tree));
    let mut verify = pakhuis();
    verify.args(["verify", "--read-data", "--storage"]).arg(root);
    let output = verify.output().expect("our own program");
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", combined(&output));
    println!("verify: {}", combined(&output).trim());
    let found = String::from_utf8(output.stdout).expect("text");
    let dangling: Vec<&str> = found.lines().filter(|line| line.contains("repositories/")).collect();
    for finding in &dangling {
        let of_the_load = finding.contains("repositories/load/app/_manifests/tags/");
        assert!(finding.starts_with("tag-dangling") && of_the_load, "{finding}");
    }
    dangling.join("\n")
}
