//! `verify`: what it mends by itself, that it runs beside pushes, and the command.

use std::{fs, path::Path, process::Command};

use pakhuis::{
    oci::{Algorithm, Digest},
    registry::verification::Repairs,
};

use super::sample::{REPOSITORY, Sample, kinds, verify};
use crate::support::{TestRegistry, image};

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
    assert!(table.contains("checked 1 repositories, 2 tags, 4 manifests"), "{table}");
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
    let nothing = Command::new(env!("CARGO_BIN_EXE_pakhuis"))
        .args(["verify", "--storage", "/nonexistent"])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(nothing.status.code(), Some(1));
}
