//! The official conformance program of opencontainers/distribution-spec, over TLS and with a login.

use std::collections::BTreeMap;
use std::fs;

use crate::support::{Options, TestServer, combined, go_tool};

/// Fewer tests than this means that the program stopped early: so many there are at the pinned commit.
const FEWEST_TESTS: u64 = 1032;

#[test]
fn every_test_of_the_development_specification_passes() {
    let server = TestServer::start(Options { sparse_manifests: true, ..Options::default() });
    let results = server.directory().join("results");
    let mut command = go_tool("conformance", "github.com/opencontainers/distribution-spec/conformance");
    command
        .current_dir(server.directory())
        .env("SSL_CERT_FILE", server.ca_certificate())
        .env("OCI_REGISTRY", server.host_port())
        .env("OCI_REPO1", "conformance/first")
        .env("OCI_REPO2", "conformance/second")
        .env("OCI_USERNAME", server.username())
        .env("OCI_PASSWORD", server.password())
        .env("OCI_VERSION", "dev")
        .env("OCI_DATA_SPARSE", "true")
        .env("OCI_RESULTS_DIR", &results);
    let output = command.output().expect("the program starts");
    let report = combined(&output);

    let yaml = fs::read_to_string(results.join("results.yaml"))
        .unwrap_or_else(|error| panic!("no results.yaml ({error}):\n{report}"));
    let results = Results::parse(&yaml, &report);
    println!("conformance: {:?}", results.totals);
    assert!(results.not_passed.is_empty(), "not passed: {:#?}\n{}", results.not_passed, failures(&report));
    for (status, count) in &results.totals {
        let expected = if status == "Pass" { FEWEST_TESTS..=u64::MAX } else { 0..=0 };
        assert!(status == "Total" || expected.contains(count), "{count} {status}:\n{}", failures(&report));
    }
    assert!(output.status.success(), "all passed, and yet {}:\n{report}", output.status);
}

/// What the program found.
struct Results {
    /// Everything in `results.yaml` that is not `Pass`, and every test that was switched off.
    not_passed: Vec<String>,
    /// How many tests ended in each status; only the report on standard output has these.
    totals: BTreeMap<String, u64>,
}

impl Results {
    /// Reads the part of YAML that the program writes: a mapping a level, two blanks deep each.
    fn parse(yaml: &str, report: &str) -> Self {
        let mut section: Vec<&str> = Vec::new();
        let mut not_passed = Vec::new();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for line in yaml.lines() {
            let Some((key, value)) = line.trim_start().rsplit_once(':') else { continue };
            section.truncate((line.len() - line.trim_start().len()) / 2);
            section.push(key);
            let (root, value) = (section[0], value.trim());
            let passed = match root {
                _ if value.is_empty() => continue,
                "apis" | "data" => value == "Pass",
                "config" if matches!(section.get(1), Some(&("apis" | "data"))) => value == "true",
                _ => continue,
            };
            *seen.entry(root).or_default() += 1;
            if !passed {
                not_passed.push(format!("{}: {value}", section.join("/")));
            }
        }
        // The names may change with the pinned commit; a whole section that is gone is our misreading.
        for root in ["config", "apis", "data"] {
            assert!(seen.get(root).is_some_and(|&count| count > 15), "no {root} in results.yaml:\n{yaml}");
        }
        let totals = ["Disabled", "Skip", "Pass", "FAIL", "Error", "Total"]
            .map(|status| (status.to_owned(), total(report, status)))
            .into();
        Self { not_passed, totals }
    }
}

/// The number behind `status` in the summary, which starts at `OCI Conformance Result`.
fn total(report: &str, status: &str) -> u64 {
    report
        .lines()
        .skip_while(|line| !line.starts_with("OCI Conformance Result"))
        .find_map(|line| line.trim().strip_prefix(status)?.trim_start_matches('.').strip_prefix(':'))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or_else(|| panic!("no total of {status}:\n{report}"))
}

/// The tests that did not pass, each with what the program says about it.
fn failures(report: &str) -> String {
    let tests = report.lines().take_while(|line| !line.starts_with("Configuration:"));
    let of_interest = tests.filter(|line| !line.ends_with(": Pass"));
    of_interest.collect::<Vec<_>>().join("\n")
}
