//! The files of `config` in the hands of the programs they are for.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::sandbox::wait_until;
use crate::support::{Options, TestServer, program, program_under_test, run};

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

#[test]
fn promtool_takes_the_scraping_and_it_names_the_job_of_the_rules() {
    let file = config("prometheus.yml");
    run(program("promtool", "prometheus").args(["check", "config"]).arg(&file));
    let asks = |name: &str, words: &str| fs::read_to_string(config(name)).expect("a file").contains(words);
    assert!(asks("prometheus.yml", "job_name: pakhuis\n") && asks("alerts.yml", "job=\"pakhuis\""));
}

/// A deploy that leaves one out is refused, and so does not go back to a value of long ago.
#[test]
fn the_stack_and_the_script_have_every_variable_from_the_one_file_and_no_default() {
    let text = |name: &str| fs::read_to_string(config(name)).expect("a file");
    let names = |text: &str| {
        let words =
            text.split("${PAKHUIS_").skip(1).map(|rest| rest.split('}').next().expect("a word").to_owned());
        words.collect::<BTreeSet<_>>()
    };
    let given: BTreeSet<_> = text("stack.env")
        .lines()
        .filter_map(|line| Some(format!("{}:?", line.strip_prefix("PAKHUIS_")?.split_once('=')?.0)))
        .collect();
    assert_eq!(names(&text("stack.yml")), given);
    let mut script = names(&text("service-create"));
    script.insert("CONFIG_FILE:?".to_owned());
    assert_eq!(script, given);
    assert!(text("stack.env").contains(&format!("PAKHUIS_IMAGE=pakhuis:{}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn each_alert_fires_at_what_it_is_for_and_none_at_a_server_that_is_well() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/alerts");
    let files = ["minutes.yml", "days.yml"].map(|name| directory.join(name));
    run(program("promtool", "prometheus").args(["test", "rules"]).args(&files));
    let cases = files.map(|file| fs::read_to_string(file).expect("the cases")).concat();
    let rules = fs::read_to_string(config("alerts.yml")).expect("the rules");
    let names: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let (fires, silent) = (format!("alertname: {name}\n"), format!("alertname: {name}, exp_alerts: []"));
        assert!(cases.contains(&fires) && cases.contains(&silent), "{name} has no case");
    }
}

#[test]
fn promtool_takes_what_the_dashboard_asks() {
    let dashboard = fs::read_to_string(config("grafana.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let asked: Vec<_> = targets.map(|target| target["expr"].as_str().expect("a query")).collect();
    assert!(asked.len() >= panels.len());
    let rules: String = (1..)
        .zip(asked)
        .map(|(number, query)| {
            let query = query.replace("$__rate_interval", "5m").replace("$instance", ".*");
            format!("  - record: panel_{number}\n    expr: {}\n", Value::from(query))
        })
        .collect();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rules.yml");
    fs::write(&file, format!("groups:\n- name: dashboard\n  rules:\n{rules}")).expect("a file");
    run(program("promtool", "prometheus").args(["check", "rules"]).arg(&file));
}

/// `tests/integration/process/observed.rs` holds every other metric of rules and dashboard against a server without
/// TLS.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_tells_of_its_certificate_and_of_a_refused_file() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let server = TestServer::start(Options {
        extra_configuration: format!("[metrics]\nlisten = \"{free}\"\n"),
        ..Options::default()
    });
    let file = server.directory().join("pakhuis.toml");
    let text = fs::read_to_string(&file).expect("the configuration");
    fs::write(&file, text + "\nno such key = 1\n").expect("a file");
    let refused = || server.log().contains("the changed configuration is refused");
    assert!(tokio::task::block_in_place(|| wait_until(Duration::from_secs(15), refused)));
    let metrics = reqwest::get(format!("http://{free}/metrics")).await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    for (what, refused) in [("configuration", 1), ("certificate", 0), ("users", 0)] {
        let line = format!("pakhuis_reloads_total{{what=\"{what}\",outcome=\"refused\"}} {refused}\n");
        assert!(metrics.contains(&line), "{line} {metrics}");
    }
    let line = metrics.lines().find(|line| line.starts_with("pakhuis_certificate_expiry_timestamp_seconds "));
    let expiry: f64 = line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a number");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
    assert!(expiry > now + 86400.0, "{expiry}");
}

#[test]
fn the_package_has_the_program_the_units_and_what_nodes_need() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    run(program("sh", "dash").arg(config("deb/build")).arg(program_under_test()).arg(root));
    let built = fs::read_dir(root).expect("a directory").next().expect("a package").expect("an entry").path();
    let field = |name: &str| {
        let said = run(program("dpkg-deb", "dpkg").arg("--field").arg(&built).arg(name)).stdout;
        String::from_utf8_lossy(&said).trim().to_owned()
    };
    assert_eq!(field("Package"), "pakhuis");
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    let installed = root.join("installed");
    run(program("dpkg-deb", "dpkg").arg("--raw-extract").arg(&built).arg(&installed));
    for file in [
        "etc/pakhuis/pakhuis.toml",
        "lib/systemd/system/pakhuis.socket",
        "usr/share/pakhuis/trust",
        "usr/share/pakhuis/alerts.yml",
        "usr/share/doc/pakhuis/operations.md",
        "usr/share/pakhuis/stack.env",
        "usr/share/pakhuis/prometheus.yml",
    ] {
        assert!(installed.join(file).is_file(), "{file}");
    }
    let version = run(std::process::Command::new(installed.join("usr/bin/pakhuis")).arg("--version")).stdout;
    assert!(String::from_utf8_lossy(&version).contains(env!("CARGO_PKG_VERSION")));
    let unit = fs::read_to_string(installed.join("lib/systemd/system/pakhuis.service")).expect("the unit");
    assert!(unit.contains("ExecStart=/usr/bin/pakhuis serve") && !unit.contains("/usr/local"), "{unit}");
    for script in ["postinst", "prerm", "postrm"] {
        run(program("sh", "dash").arg("-n").arg(installed.join("DEBIAN").join(script)));
    }
}
