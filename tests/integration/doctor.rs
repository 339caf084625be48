//! `pakhuis doctor` as it is typed, on directories that need no root.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

fn doctor(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pakhuis"));
    command.args(["doctor", "--storage"]).arg(root).env_remove("PAKHUIS_CONFIG").stdin(Stdio::null());
    command.current_dir(root.parent().unwrap());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Trials with a finding above a note, but those of the machine the tests run on: its mounts and its room.
fn bad_trials(report: &Value) -> Vec<String> {
    let trials = report["trials"].as_array().unwrap().iter();
    let bad = trials.filter(|trial| {
        trial["findings"].as_array().unwrap().iter().any(|finding| finding["severity"] != "note")
    });
    bad.map(|trial| trial["name"].as_str().unwrap().to_owned())
        .filter(|name| name != "mount" && name != "space")
        .collect()
}

#[test]
fn a_good_directory_passes_and_its_report_is_a_table_or_json() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("volume");
    std::fs::create_dir(&root).unwrap();
    let output = doctor(&root).args(["--format", "json"]).output().unwrap();
    let report = json(&output);
    assert_eq!(bad_trials(&report), [""; 0]);
    let worst =
        report["trials"].as_array().unwrap().iter().flat_map(|trial| trial["findings"].as_array().unwrap());
    let fine = worst.clone().all(|finding| finding["severity"] == "note");
    assert_eq!(
        output.status.code(),
        Some(if fine { 0 } else { 3 }),
        "the exit code says what the report does"
    );
    assert_eq!(report["root"], root.to_str().unwrap());
    assert!(report["mount"]["file_system"].is_string(), "{report}");

    let output = doctor(&root).output().unwrap();
    let table = text(&output.stdout);
    let mut lines = table.lines().skip_while(|line| !line.starts_with("TRIAL"));
    let columns: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(columns, ["TRIAL", "RESULT", "SEEN"]);
    for name in ["rename over a file", "hard link", "exclusive create", "flush of a directory", "large file"]
    {
        let line =
            table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {table}"));
        assert!(line[name.len()..].trim_start().starts_with("ok "), "{line}");
    }
    assert!(text(&output.stderr).contains("trying: hard link"), "progress is on stderr");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_finding_is_told_with_what_breaks_and_what_to_type() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("volume");
    for tree in ["v2/blobs", "docker/registry/v2/blobs"] {
        std::fs::create_dir_all(root.join(tree)).unwrap();
    }
    let output = doctor(&root).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let table = text(&output.stdout);
    let mut finding = table.lines().skip_while(|line| !line.starts_with("error: registry: "));
    assert!(finding.next().unwrap().ends_with("are two registries"), "{table}");
    assert_eq!(finding.next(), Some("  breaks  the server does not start"));
    assert!(finding.next().unwrap().starts_with("  type    find the one with the images: du -s "), "{table}");
}

#[test]
fn a_limit_on_the_size_of_files_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("volume");
    std::fs::create_dir(&root).unwrap();
    let doctor = doctor(&root);
    let mut command = Command::new("sh");
    // 1 or 2 GiB, as the shell counts.
    command.args(["-c", "ulimit -f 2097152 && exec \"$@\"", "sh"]).arg(doctor.get_program());
    command
        .args(doctor.get_args())
        .args(["--format", "json"])
        .env_remove("PAKHUIS_CONFIG")
        .current_dir(directory.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let report = json(&output);
    assert_eq!(bad_trials(&report), ["large file"]);
    let trials = report["trials"].as_array().unwrap();
    let trial = trials.iter().find(|trial| trial["name"] == "large file").unwrap();
    let advice = trial["findings"][0]["advice"].as_str().unwrap();
    assert!(advice.starts_with("ulimit -f unlimited"), "{advice}");
}

#[test]
fn two_doctors_meet_on_one_volume() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("volume");
    std::fs::create_dir(&root).unwrap();
    let start = || {
        let mut command = doctor(&root);
        command
            .args(["--meet", "--format", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let doctors = [start(), start()];
    for doctor in doctors {
        let output = doctor.wait_with_output().unwrap();
        let report = json(&output);
        assert_eq!(bad_trials(&report), [""; 0], "{report}");
        let met = report["trials"].as_array().unwrap().iter().filter(|trial| {
            let name = trial["name"].as_str().unwrap();
            name == "other host" || name.ends_with(" by the other")
        });
        assert_eq!(met.count(), 5, "{report}");
        assert!(text(&output.stderr).contains("met "), "progress is on stderr");
    }
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_doctor_that_is_interrupted_removes_what_it_made() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("volume");
    std::fs::create_dir(&root).unwrap();
    let mut command = doctor(&root);
    let mut child = command.arg("--meet").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !root.join(".pakhuis-doctor-meeting").exists() {
        assert!(Instant::now() < deadline, "it waits for the other host");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "nothing is left");
}

#[test]
fn wrong_usage_has_a_code_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("volume");
    let output = doctor(&root).args(["--format", "xml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = doctor(&root).args(["--config", "missing.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = doctor(&root).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "a root that is not there is a finding");
    assert!(text(&output.stdout).contains("is not there"));
}

#[test]
fn the_server_tries_the_volume_when_it_starts() {
    let directory = tempfile::tempdir().unwrap();
    let address = directory.path().join("address");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pakhuis"))
        .args(["serve", "--no-auth", "--no-tls", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--storage", "volume", "--address-file", "address"])
        .current_dir(directory.path())
        .env_remove("PAKHUIS_CONFIG")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !address.exists() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it starts");
        std::thread::sleep(Duration::from_millis(20));
    }
    let private = directory.path().join("volume/docker/registry/v2/.pakhuis");
    let left = std::fs::read_dir(private).unwrap().flatten();
    let left: Vec<_> =
        left.filter(|entry| entry.file_name().to_string_lossy().starts_with("doctor")).collect();
    assert!(left.is_empty(), "the trials are over before it listens: {left:?}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    let log = text(&child.wait_with_output().unwrap().stderr);
    // Which of the two is up to the machine: a temporary directory may be in memory.
    assert!(
        log.contains("the volume passed the trials of the start")
            || log.contains("for all of it run the doctor"),
        "{log}"
    );
    assert!(!log.contains("hard link"), "{log}");
}
