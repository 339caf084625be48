//! `pakhuis doctor` on volumes that fail: it says what breaks and what to type, and leaves nothing behind.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    image::Image,
    registry::{pull, push},
    server::Server,
    stoppable::StoppableVolume,
    volume::Volume,
};

/// Any user that is nobody on the machine.
const UID: u32 = 54321;

/// How long the doctor may take to find out that a volume hangs.
const PATIENCE: Duration = Duration::from_secs(75);

/// The doctor on a volume, as root or as somebody else. Its report, which says that there is something.
fn doctor(root: &Path, uid: Option<u32>) -> Value {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("our directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pakhuis"));
    command.args(["doctor", "--format", "json", "--storage"]).arg(root).current_dir(directory.path());
    command.env_remove("PAKHUIS_CONFIG").env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    let output = command.output().expect("our program");
    assert_eq!(output.status.code(), Some(3), "it ran and found something: {output:?}");
    no_stack_trace(&output);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn no_stack_trace(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked") && !said.contains("backtrace"), "{said}");
}

/// Whether a trial has a finding with these words in problem, consequence and advice.
#[track_caller]
fn finds(report: &Value, trial: &str, problem: &str, breaks: &str, advice: &str) {
    let trials = report["trials"].as_array().expect("trials");
    let of_trial = trials.iter().filter(|seen| seen["name"] == trial);
    let mut findings = of_trial.flat_map(|seen| seen["findings"].as_array().expect("findings"));
    let has = |finding: &Value, part: &str, words: &str| {
        finding[part].as_str().is_some_and(|text| text.contains(words))
    };
    let found = findings.any(|finding| {
        finding["severity"] != "note"
            && has(finding, "problem", problem)
            && has(finding, "breaks", breaks)
            && has(finding, "advice", advice)
    });
    assert!(found, "no {trial}: {problem} / {breaks} / {advice} in {report:#}");
}

#[track_caller]
fn nothing_is_left(volume: &Path) {
    let mut names = Vec::new();
    for directory in [volume.to_path_buf(), volume.join("docker/registry/v2/.pakhuis")] {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        names.extend(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    }
    assert!(!names.iter().any(|name| name.contains("doctor")), "left behind: {names:?}");
}

#[tokio::test]
async fn a_volume_without_bytes_or_files() {
    let volume = Volume::in_memory("size=16m");
    let (server, image) = (Server::plain(volume.root()), Image::new(1, 100_000, None));
    push(&server.client(), "team/app", "1.0", &image).await.expect("a push");
    drop(server);
    let filler = volume.fill(0);
    let report = doctor(volume.root(), None);
    finds(&report, "space", "kept back", "new uploads are refused with 507", "df -h ");
    finds(&report, "write", "the volume is full", "pushes are refused with 507", "make room");
    drop(filler);
    nothing_is_left(volume.root());

    let volume = Volume::in_memory("size=16m,nr_inodes=200");
    let files = volume.root().join("files");
    fs::create_dir(&files).expect("a directory");
    let mut number = 0;
    while fs::write(files.join(number.to_string()), b"").is_ok() {
        number += 1;
    }
    let report = doctor(volume.root(), None);
    finds(&report, "space", " 0 files are free", "new uploads are refused with 507", "df -i ");
    finds(&report, "write", "the volume is full", "pushes are refused with 507", "make room");
    nothing_is_left(volume.root());
}

#[tokio::test]
async fn a_volume_that_is_read_only() {
    let volume = Volume::on_loop_device("mkfs.ext4", "e2fsprogs", &["-q"], 64);
    let (server, image) = (Server::plain(volume.root()), Image::new(1, 100_000, None));
    push(&server.client(), "team/app", "1.0", &image).await.expect("a push");
    volume.remount(true);
    let report = doctor(volume.root(), None);
    finds(
        &report,
        "mount",
        "read-only",
        "pulls work; pushes and deletes are refused",
        "mount -o remount,rw ",
    );
    pull(&server.client(), "team/app", "1.0", &image).await.expect("pulls do work");
    nothing_is_left(volume.root());
}

#[tokio::test]
async fn a_volume_of_another_user() {
    let volume = Volume::in_memory("size=64m,mode=755");
    let (server, image) = (Server::plain(volume.root()), Image::new(1, 100_000, None));
    push(&server.client(), "team/app", "1.0", &image).await.expect("a push");
    drop(server);
    let chown = format!("chown -R {UID} ");
    let report = doctor(volume.root(), Some(UID));
    finds(&report, "write", "cannot be written: Permission denied", "refused with 503", &chown);
    nothing_is_left(volume.root());

    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a directory of root's");
    };
    set_mode(&volume.v2().join("repositories/team"), 0o700);
    let report = doctor(volume.root(), Some(UID));
    finds(&report, "ownership", "cannot be read", "pulls of them are answered with 503", &chown);
    // What cannot even be looked at is not taken for what is not there.
    for directory in [volume.v2(), volume.root().to_path_buf()] {
        set_mode(&directory, 0o700);
        let report = doctor(volume.root(), Some(UID));
        finds(&report, "registry", "cannot be looked at", "the server does not start", "namei -l ");
    }
    nothing_is_left(volume.root());
}

#[test]
fn a_volume_that_hangs() {
    let volume = StoppableVolume::new();
    volume.stop();
    let begun = Instant::now();
    let report = doctor(volume.root(), None);
    let took = begun.elapsed();
    volume.go_on();
    println!("doctor: a volume that hangs is told after {:.0} s", took.as_secs_f64());
    assert!(took < PATIENCE, "{took:?}");
    finds(&report, "answer", "has not answered", "answered with 503 until it does", "findmnt --target ");
    nothing_is_left(volume.root());
}
