//! The files of `config` in the hands of the programs they are for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{program, program_under_test, run};

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn systemd_takes_the_units_and_finds_little_exposed() {
    let directory = tempfile::tempdir().expect("a directory");
    let unit = fs::read_to_string(config("pakhuis.service")).expect("the unit");
    let installed = "/usr/local/bin/pakhuis";
    assert!(unit.contains(installed));
    let unit = unit.replace(installed, program_under_test().to_str().expect("UTF-8"));
    let service = directory.path().join("pakhuis.service");
    let socket = directory.path().join("pakhuis.socket");
    fs::write(&service, unit).expect("a file");
    fs::copy(config("pakhuis.socket"), &socket).expect("a copy");
    let mut verify = program("systemd-analyze", "systemd");
    let output = run(verify.args(["verify", "--man=no"]).args([&service, &socket]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no remark on either");
    // In tenths: 2.0 of 10, where 10 is a program without any protection.
    let mut security = program("systemd-analyze", "systemd");
    run(security.args(["security", "--offline=yes", "--threshold=20"]).arg(&service));
}

#[test]
fn promtool_takes_the_alert_rules() {
    run(program("promtool", "prometheus").args(["check", "rules"]).arg(config("alerts.yml")));
}
