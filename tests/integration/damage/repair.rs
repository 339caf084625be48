//! `verify`: what it mends by itself, that it runs beside pushes, and the command.

use std::{fs, path::Path, process::Command};

use pakhuis::{
    oci::{Algorithm, Digest},
    registry::verification::Repairs,
};

use super::sample::{REPOSITORY, Sample, kinds, verify};
use crate::support::{TestRegistry, Tree, image};

async fn volume() -> (TestRegistry, Sample) {
    let (volume, sample) = (TestRegistry::in_memory(), Sample::new());
    sample.push(&volume.anonymous()).await;
    (volume, sample)
}

fn links(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            links(&path, found);
        } else if path.ends_with("link") {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn links_that_their_path_tells_are_written_again() {
    let (volume, sample) = volume().await;
    let repository = volume.v2().join("repositories").join(REPOSITORY);
    // registry:2 keeps what a tag ever named; we do not, and leave it where it is.
    let digest = volume.anonymous().head(&format!("/v2/{REPOSITORY}/manifests/v1")).await;
    let digest = digest.header("docker-content-digest").to_owned();
    let kept = repository.join("_manifests/tags/v1/index/sha256").join(digest.trim_start_matches("sha256:"));
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("link"), &digest).unwrap();
    let mut found = Vec::new();
    for part in ["_layers", "_manifests/revisions", "_referrers", "_manifests/tags/v1/index"] {
        links(&repository.join(part), &mut found);
    }
    for (number, link) in found.iter().enumerate() {
        fs::write(link, if number % 2 == 0 { "" } else { "sha256:nonsense" }).unwrap();
    }
    let report = verify(&volume, Repairs::All);
    assert_eq!(report.findings.len(), found.len(), "{:?}", report.findings);
    assert!(report.findings.iter().all(|finding| finding.repaired), "{:?}", report.findings);
    assert_eq!(kinds(&verify(&volume, Repairs::None).findings), [""; 0]);
    assert_eq!(sample.pull(&volume.another_server().anonymous()).await, 0);
}

#[tokio::test]
async fn what_is_missing_is_made_and_what_names_nothing_is_removed() {
    let (volume, sample) = volume().await;
    let repository = volume.v2().join("repositories").join(REPOSITORY);
    fs::remove_dir_all(repository.join("_referrers")).unwrap();
    fs::create_dir_all(repository.join("_manifests/tags/ghost/current")).unwrap();
    fs::create_dir_all(volume.v2().join("repositories/old/_manifests/revisions")).unwrap();
    let report = verify(&volume, Repairs::None);
    let expected = ["ghost-tag", "referrer-missing", "repository-incomplete", "repository-incomplete"];
    let mut found = kinds(&report.findings);
    found.sort_unstable();
    assert_eq!(found, expected);
    assert!(report.findings.iter().all(|finding| !finding.repaired && !finding.advice.is_empty()));
    assert!(verify(&volume, Repairs::All).findings.iter().all(|finding| finding.repaired));
    assert_eq!(kinds(&verify(&volume, Repairs::None).findings), [""; 0]);
    assert_eq!(sample.pull(&volume.another_server().anonymous()).await, 0);
    assert!(volume.v2().join("repositories/old/_layers").is_dir());
    assert!(!repository.join("_manifests/tags/ghost").exists());
}

#[tokio::test]
async fn a_damaged_blob_is_set_aside_and_who_needs_it_is_named_until_a_push() {
    let (volume, _) = volume().await;
    let image = image(1);
    let client = volume.anonymous();
    client.push("other/one", "a", &image).await;
    client.push("other/two", "b", &image).await;
    let digest = Digest::of(Algorithm::Sha256, &image.blobs[2]);
    let mut bytes = image.blobs[2].clone();
    bytes[100] ^= 1;
    fs::write(volume.blob_path(&digest), bytes).unwrap();
    let report = verify(&volume, Repairs::SetAside);
    assert_eq!(kinds(&report.findings), ["blob-damaged"]);
    assert!(report.findings[0].repaired);
    assert_eq!(report.findings[0].advice, "push again: other/one:a, other/two:b");
    assert_eq!(client.head(&format!("/v2/other/one/blobs/{digest}")).await.status, 404);
    let report = verify(&volume, Repairs::None);
    assert_eq!(kinds(&report.findings), ["blob-missing", "blob-missing"]);
    assert!(report.findings[0].detail.contains(".pakhuis/damaged/sha256-"), "{:?}", report.findings);
    client.push("other/one", "a", &image).await;
    assert_eq!(kinds(&verify(&volume, Repairs::None).findings), [""; 0], "one push heals both");
}

#[tokio::test]
async fn a_file_that_was_set_aside_and_is_good_comes_back() {
    let (volume, sample) = volume().await;
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let shelf = volume.v2().join(".pakhuis/damaged");
    fs::create_dir(&shelf).unwrap();
    fs::rename(volume.blob_path(&digest), shelf.join(format!("sha256-{}-0", digest.encoded()))).unwrap();
    let report = verify(&volume, Repairs::All);
    assert_eq!(kinds(&report.findings), ["set-aside-good"]);
    assert_eq!(kinds(&verify(&volume, Repairs::None).findings), [""; 0]);
    assert_eq!(sample.pull(&volume.another_server().anonymous()).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_retags_and_deletes_at_the_same_time_are_no_findings() {
    let (volume, _) = volume().await;
    let other = volume.another_server();
    let checking = tokio::task::spawn_blocking({
        let registry = other.registry().clone();
        move || {
            let options = super::sample::options(Repairs::All);
            // A push that is seen twice in the middle is what this waits for.
            let options = pakhuis::registry::verification::Options {
                settle: std::time::Duration::from_millis(100),
                grace: std::time::Duration::from_secs(60),
                ..options
            };
            (0..15)
                .flat_map(|_| registry.verify(&options, &mut |_| true).unwrap().findings)
                .collect::<Vec<_>>()
        }
    });
    let client = volume.anonymous();
    let mut round = 0_u8;
    while !checking.is_finished() {
        let image = image(round);
        client.push("busy", "latest", &image).await;
        let delete = client.delete(&format!("/v2/busy/manifests/{}", image.digest())).await;
        assert_eq!(delete.status, 202);
        round = round.wrapping_add(1);
    }
    assert_eq!(kinds(&checking.await.unwrap()), [""; 0]);
    assert!(round > 0);
}

#[tokio::test]
async fn the_command_reports_repairs_and_says_so_by_its_exit_code() {
    let (volume, _) = volume().await;
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_pakhuis"))
            .args(["verify", "--read-data", "--storage"])
            .arg(volume.root())
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, table) = run(&[]);
    assert_eq!(code, 0, "{table}");
    assert!(table.contains("checked 1 repository, 2 tags, 4 manifests"), "{table}");
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    fs::write(volume.blob_path(&digest), b"{]").unwrap();
    let (code, json) = run(&["--format", "json", "--repair"]);
    assert_eq!(code, 3);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let finding = &report["findings"][0];
    assert_eq!(finding["kind"], "blob-damaged");
    assert_eq!(finding["digest"], digest.as_str());
    assert_eq!(finding["repaired"], true);
    assert!(finding["path"].as_str().unwrap().starts_with("blobs/sha256/"), "{finding}");
    assert_eq!(report["checked"]["tags"], 2);
    volume.another_server().anonymous().push_blob(REPOSITORY, b"{}").await;
    assert_eq!(run(&[]).0, 0);
}

fn command(arguments: &[&str], storage: &Path) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pakhuis"))
        .arg("verify")
        .args(arguments)
        .arg("--storage")
        .arg(storage)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_check_that_fails_says_why_and_what_to_do_in_json_too() {
    let (code, out, err) = command(&[], Path::new("/nonexistent"));
    assert_eq!((code, out.as_str()), (1, ""));
    for hint in ["no registry in /nonexistent", "--storage DIR", "--config FILE"] {
        assert!(err.contains(hint), "{err}");
    }
    let (code, out, _) = command(&["--format", "json"], Path::new("/nonexistent"));
    assert_eq!(code, 1);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(report["errors"][0].as_str().unwrap().contains("no registry in /nonexistent"), "{report}");
    assert_eq!(report["findings"].as_array().unwrap().len(), 0, "{report}");
}

#[tokio::test]
async fn a_volume_that_only_registry_2_has_served_is_checked_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    // As registry:2 writes it, below the directory above `v2`; nothing of ours is there.
    for name in ["blobs", "repositories"] {
        fs::create_dir_all(directory.path().join("v2").join(name)).unwrap();
    }
    let (code, out, err) = command(&["--read-data"], directory.path());
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("0 findings, 0 of them repaired; 0 errors"), "{out}");
    let tree = Tree::at(directory.path().join("other").as_path());
    tree.add_image("team/app", Some("v1"), &image(1));
    let (code, out, err) = command(&["--read-data"], &directory.path().join("other"));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("checked 1 repository, 1 tag, 1 manifest"), "{out}");
    assert!(!tree.v2().join(".pakhuis").exists(), "nothing is made without --repair");
}

#[tokio::test]
async fn a_volume_without_our_directory_is_mended_too() {
    let (volume, sample) = volume().await;
    fs::remove_dir_all(volume.v2().join(".pakhuis")).unwrap();
    fs::write(volume.blob_path(&Digest::of(Algorithm::Sha256, b"{}")), b"{]").unwrap();
    let (code, out, err) = command(&["--read-data"], &volume.root());
    assert_eq!(code, 3, "{out}{err}");
    assert!(
        out.starts_with("FINDING                REPAIRED  PATH\nblob-damaged           no        blobs/"),
        "{out}"
    );
    let (code, out, err) = command(&["--read-data", "--repair"], &volume.root());
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("1 finding, 1 of them repaired; 0 errors"), "{out}");
    volume.another_server().anonymous().push_blob(REPOSITORY, b"{}").await;
    assert_eq!(sample.pull(&volume.another_server().anonymous()).await, 0);
}

#[tokio::test]
async fn a_tag_that_is_lost_is_advised_on_with_what_it_has_named_if_that_is_known() {
    let (volume, _) = volume().await;
    let tag = volume.v2().join("repositories").join(REPOSITORY).join("_manifests/tags/v1");
    let digest = fs::read_to_string(tag.join("current/link")).unwrap();
    fs::write(tag.join("current/link"), "").unwrap();
    let advice = || verify(&volume, Repairs::None).findings.remove(0).advice;
    assert_eq!(advice(), "push team/app:v1 again");
    let entry = tag.join("index/sha256").join(digest.trim_start_matches("sha256:"));
    fs::create_dir_all(&entry).unwrap();
    fs::write(entry.join("link"), &digest).unwrap();
    assert_eq!(advice(), format!("push team/app:v1 again; it has named: {digest}"));
}
