//! The trials on a real directory.

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;

use super::super::*;
use crate::storage::Storage;

fn examined(config: &Config, meet: Option<Duration>) -> Report {
    let stop = AtomicBool::new(false);
    examine(&Request { config, meet, progress: &|_| {}, stop: &stop })
}

/// Findings but those of the machine the tests run on: its file system, its room, its `/etc/fstab`.
fn findings(report: &Report) -> Vec<(&'static str, Severity, &str)> {
    let of_the_machine = |trial: &str| matches!(trial, "mount" | "space");
    let findings = report.findings().filter(|(trial, _)| !of_the_machine(trial));
    findings.map(|(trial, finding)| (trial, finding.severity, finding.problem.as_str())).collect()
}

/// Every path below a directory, sorted.
fn everything(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(everything(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn a_good_volume_has_no_finding_and_is_left_as_it_was() {
    let directory = TempDir::new().unwrap();
    let config = Config::new(directory.path());
    let storage = Storage::open(config.clone()).unwrap();
    let before = everything(directory.path());
    let report = examined(&config, None);
    assert_eq!(findings(&report), []);
    assert!(report.trials.iter().all(|trial| trial.tried), "{report:?}");
    assert_eq!(report.directory.as_deref(), Some(storage.directory()));
    for name in
        ["rename over a file", "hard link", "exclusive create", "flush of a directory", "clock", "ownership"]
    {
        assert!(report.trials.iter().any(|trial| trial.name == name), "{name} was tried");
    }
    assert_eq!(everything(directory.path()), before);
    let quick = quick(&config, storage.directory());
    assert_eq!(findings(&quick), []);
    assert!(quick.trials.len() >= 8, "{quick:?}");
    assert_eq!(everything(directory.path()), before);
}

#[test]
fn a_root_without_a_registry_is_not_made_to_look_like_one() {
    let directory = TempDir::new().unwrap();
    let report = examined(&Config::new(directory.path()), None);
    assert_eq!(findings(&report), []);
    assert_eq!(report.directory, None);
    assert_eq!(everything(directory.path()), [""; 0].map(PathBuf::from));
}

#[test]
fn a_tree_of_registry_2_is_not_marked_as_ours() {
    let directory = TempDir::new().unwrap();
    fs::create_dir_all(directory.path().join("v2/blobs")).unwrap();
    fs::create_dir_all(directory.path().join("v2/repositories")).unwrap();
    let report = examined(&Config::new(directory.path()), None);
    assert_eq!(findings(&report), []);
    assert_eq!(everything(directory.path()).len(), 3);
}

#[test]
fn what_keeps_the_server_from_starting_is_an_error() {
    let directory = TempDir::new().unwrap();
    let root = directory.path();
    let config = Config::new(root);
    let missing = Config::new(root.join("missing"));
    let report = examined(&missing, None);
    assert_eq!(findings(&report)[0].1, Severity::Error);
    assert!(!missing.root.exists(), "the doctor makes no root");

    fs::create_dir_all(root.join("v2/.pakhuis")).unwrap();
    fs::create_dir_all(root.join("v2/blobs")).unwrap();
    let report = examined(&config, None);
    assert!(findings(&report)[0].2.contains("repositories is missing although the registry was in use"));

    fs::create_dir_all(root.join("docker/registry/v2/blobs")).unwrap();
    let report = examined(&config, None);
    let (trial, severity, problem) = findings(&report)[0];
    assert_eq!((trial, severity), ("registry", Severity::Error));
    assert!(problem.ends_with("are two registries"), "{problem}");
}

#[test]
fn a_root_that_was_in_use_and_is_empty_is_an_error() {
    let directory = TempDir::new().unwrap();
    let remembered = directory.path().join("roots");
    let root = directory.path().join("volume");
    fs::create_dir(&root).unwrap();
    fs::write(&remembered, format!("{}\n", root.display())).unwrap();
    let config = Config { remembered_roots: Some(remembered), ..Config::new(&root) };
    let report = examined(&config, None);
    let (_, finding) = report.findings().find(|(trial, _)| *trial == "registry").unwrap();
    assert!(finding.problem.ends_with("held a registry before, and holds none now"));
    assert!(finding.advice.starts_with("findmnt --target"));
}

#[test]
fn what_a_killed_run_left_is_removed_after_an_hour_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let config = Config::new(directory.path());
    let storage = Storage::open(config.clone()).unwrap();
    let private = storage.directory().join(".pakhuis");
    let (old, fresh) = (format!("doctor-{:032x}", 1), format!("doctor-{:032x}", 2));
    for name in [&old, &fresh, &"doctor-visits".to_owned()] {
        fs::create_dir(private.join(name)).unwrap();
    }
    let hours_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
    for name in [&old, &"doctor-visits".to_owned()] {
        fs::File::open(private.join(name)).unwrap().set_modified(hours_ago).unwrap();
    }
    examined(&config, None);
    assert!(!private.join(old).exists());
    assert!(private.join(fresh).exists(), "it may still run");
    assert!(private.join("doctor-visits").exists(), "not a name of the doctor");
}

#[test]
fn two_doctors_meet_and_leave_nothing() {
    let directory = TempDir::new().unwrap();
    let config = Config::new(directory.path());
    Storage::open(config.clone()).unwrap();
    let before = everything(directory.path());
    let (one, other) = std::thread::scope(|scope| {
        let meet = || examined(&config, Some(Duration::from_secs(60)));
        let other = scope.spawn(meet);
        (meet(), other.join().unwrap())
    });
    for report in [one, other] {
        let worst = report.trials.iter().filter(|trial| trial.name != "mount" && trial.name != "space");
        assert_eq!(worst.filter_map(Trial::worst).max(), Some(Severity::Note), "{report:?}");
        let (_, finding) = report.findings().find(|(trial, _)| *trial == "other host").unwrap();
        assert!(finding.problem.starts_with("both are on this machine"), "{finding:?}");
        for name in ["made", "replaced", "removed", "moved"] {
            let name = format!("{name} by the other");
            let trial = report.trials.iter().find(|trial| trial.name == name).unwrap();
            assert!(trial.seen.starts_with("after "), "{trial:?}");
        }
    }
    assert_eq!(everything(directory.path()), before);
}

#[test]
fn when_nobody_comes_it_is_said() {
    let directory = TempDir::new().unwrap();
    let config = Config::new(directory.path());
    Storage::open(config.clone()).unwrap();
    // What a killed run left behind is nobody.
    let left = directory.path().join(format!("docker/registry/v2/.pakhuis/doctor-meeting/{:032x}", 1));
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("card"), "{}").unwrap();
    let said = Mutex::new(Vec::new());
    let progress = |text: &str| said.lock().unwrap().push(text.to_owned());
    let stop = AtomicBool::new(false);
    let meet = Some(Duration::from_millis(300));
    let report = examine(&Request { config: &config, meet, progress: &progress, stop: &stop });
    let (_, finding) = report.findings().find(|(trial, _)| *trial == "other host").unwrap();
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.problem.starts_with("nobody came within"));
    assert!(finding.advice.contains("pakhuis doctor --meet --storage"));
    let said = said.into_inner().unwrap();
    assert!(said.iter().any(|text| text.contains("waiting 0 s for the other host")), "{said:?}");
    assert!(left.exists(), "it is not old");
}

#[test]
fn a_doctor_that_is_stopped_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let config = Config::new(directory.path());
    Storage::open(config.clone()).unwrap();
    let before = everything(directory.path());
    let stop = AtomicBool::new(false);
    let progress = |text: &str| {
        if text.contains("hard link") {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let report = examine(&Request { config: &config, meet: None, progress: &progress, stop: &stop });
    assert!(report.trials.iter().any(|trial| trial.seen == "stopped"));
    assert_eq!(everything(directory.path()), before);
}
