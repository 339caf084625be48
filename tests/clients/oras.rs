//! oras (oras-go, which helm and notation are built on): artifacts with annotations and referrers.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{
    ImageSpec, Layout, Options, TestServer, combined, go_tool, run, run_failing, run_with_input,
};

const ARTIFACT: &str = "application/vnd.example.report.v1";
const SIGNATURE: &str = "application/vnd.example.signature.v1";
const BILL: &str = "application/vnd.example.bill-of-materials.v1";

/// oras in the test's directory (it stores file names as they are given), with its own login file.
fn oras(server: &TestServer) -> Command {
    let mut command = go_tool("oras", "oras.land/oras/cmd/oras");
    command
        .current_dir(server.directory())
        .env("DOCKER_CONFIG", server.directory().join("docker-config"))
        .env("SSL_CERT_FILE", server.ca_certificate())
        .env("SSL_CERT_DIR", "/nonexistent");
    command
}

fn login(server: &TestServer) -> Command {
    let mut command = oras(server);
    command.args(["login", &server.host_port(), "-u", server.username(), "--password-stdin"]);
    command
}

fn logged_in() -> TestServer {
    let server = TestServer::start(Options::default());
    run_with_input(&mut login(&server), server.password().as_bytes());
    server
}

fn json_of(server: &TestServer, arguments: &[&str]) -> Value {
    let output = run(oras(server).args(arguments));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", combined(&output)))
}

fn lines_of(server: &TestServer, arguments: &[&str]) -> Vec<String> {
    let output = run(oras(server).args(arguments));
    String::from_utf8(output.stdout).expect("oras writes UTF-8").lines().map(String::from).collect()
}

/// Pushes one file as an artifact and gives its digest.
fn push_artifact(server: &TestServer, name: &str, content: &str) -> String {
    fs::write(server.directory().join("report.txt"), content).expect("a file");
    let annotation = ["--annotation", "org.example.author=alice"];
    let pushed = run(oras(server)
        .args(["push", "--format", "json", "--artifact-type", ARTIFACT])
        .args(annotation)
        .args([name, "report.txt:text/plain"]));
    let pushed: Value = serde_json::from_slice(&pushed.stdout).expect("oras writes JSON");
    pushed["digest"].as_str().expect("a digest").to_owned()
}

fn attach(server: &TestServer, subject: &str, artifact_type: &str, content: &str) -> String {
    fs::write(server.directory().join("attached.txt"), content).expect("a file");
    let arguments = ["attach", "--format", "json", "--artifact-type", artifact_type, subject, "attached.txt"];
    json_of(server, &arguments)["digest"].as_str().expect("a digest").to_owned()
}

/// The digests of the direct referrers, sorted.
fn referrers(server: &TestServer, arguments: &[&str]) -> Vec<String> {
    let found = json_of(server, &[&["discover", "--format", "json", "--depth", "1"], arguments].concat());
    let listed = found.get("referrers").or_else(|| found.get("manifests")).and_then(Value::as_array);
    let mut digests: Vec<_> = listed
        .into_iter()
        .flatten()
        .map(|entry| entry["digest"].as_str().expect("a digest").to_owned())
        .collect();
    digests.sort();
    digests
}

#[test]
fn pushes_and_pulls_an_artifact_with_annotations() {
    let server = logged_in();
    let name = format!("{}/reports/weekly:v1", server.host_port());
    let digest = push_artifact(&server, &name, "all is well\n");

    let manifest = json_of(&server, &["manifest", "fetch", &name]);
    assert_eq!(manifest["artifactType"], ARTIFACT);
    assert_eq!(manifest["annotations"]["org.example.author"], "alice");
    let by_digest = format!("{}/reports/weekly@{digest}", server.host_port());
    for (reference, directory) in [(&name, "by-tag"), (&by_digest, "by-digest")] {
        run(oras(&server).args(["pull", "-o", directory, reference]));
        let pulled = fs::read_to_string(server.directory().join(directory).join("report.txt"));
        assert_eq!(pulled.expect("a pulled file"), "all is well\n");
    }
    assert_eq!(lines_of(&server, &["repo", "ls", &server.host_port()]), ["reports/weekly"]);
}

#[test]
fn attaches_referrers_and_finds_them_by_type() {
    let server = logged_in();
    let name = format!("{}/reports/weekly:v1", server.host_port());
    push_artifact(&server, &name, "all is well\n");
    assert!(referrers(&server, &[&name]).is_empty());
    let signature = attach(&server, &name, SIGNATURE, "signed");
    let bill = attach(&server, &name, BILL, "flour, water, salt");
    let of_the_signature = format!("{}/reports/weekly@{signature}", server.host_port());
    let countersignature = attach(&server, &of_the_signature, SIGNATURE, "countersigned");

    let mut both = vec![signature.clone(), bill.clone()];
    both.sort();
    assert_eq!(referrers(&server, &[&name]), both);
    assert_eq!(referrers(&server, &["--artifact-type", SIGNATURE, &name]), [signature.as_str()]);
    assert_eq!(referrers(&server, &[&of_the_signature]), [countersignature.as_str()]);
    assert_eq!(referrers(&server, &["--distribution-spec", "v1.1-referrers-api", &name]), both);

    let of_the_bill = format!("{}/reports/weekly@{bill}", server.host_port());
    run(oras(&server).args(["manifest", "delete", "--force", &of_the_bill]));
    assert_eq!(referrers(&server, &[&name]), [signature.as_str()]);
    // A client that does not trust the referrers answer writes a tag `sha256-...` instead.
    let repository = format!("{}/reports/weekly", server.host_port());
    assert_eq!(lines_of(&server, &["repo", "tags", &repository]), ["v1"]);
}

#[test]
fn copies_an_artifact_with_all_that_refers_to_it() {
    let server = logged_in();
    let from = format!("{}/reports/weekly:v1", server.host_port());
    let to = format!("{}/archive/weekly:v1", server.host_port());
    push_artifact(&server, &from, "all is well\n");
    let signature = attach(&server, &from, SIGNATURE, "signed");
    run(oras(&server).args(["copy", "--recursive", &from, &to]));
    assert_eq!(referrers(&server, &[&to]), [signature]);
}

#[test]
fn creates_a_multi_platform_index_and_several_tags_at_once() {
    let server = logged_in();
    let repository = format!("{}/multi/app", server.host_port());
    let layout = Layout::create(&server.directory().join("layout"));
    for (seed, architecture) in [(11, "amd64"), (12, "arm64")] {
        let image = layout.add_image(ImageSpec { architecture, ..ImageSpec::new(seed, 2, 5_000) });
        layout.tag(&image, architecture);
        let (from, to) = (format!("layout:{architecture}"), format!("{repository}:{architecture}"));
        run(oras(&server).args(["copy", "--from-oci-layout", &from, &to]));
    }
    let target = format!("{repository}:all,latest");
    run(oras(&server).args(["manifest", "index", "create", &target, "amd64", "arm64"]));

    assert_eq!(lines_of(&server, &["repo", "tags", &repository]), ["all", "amd64", "arm64", "latest"]);
    let index = json_of(&server, &["manifest", "fetch", &format!("{repository}:latest")]);
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2));
    let picked = ["resolve", "--platform", "linux/arm64", &format!("{repository}:all")].map(String::from);
    let picked = lines_of(&server, &picked.each_ref().map(String::as_str));
    assert_eq!(picked, lines_of(&server, &["resolve", &format!("{repository}:arm64")]));
}

#[test]
fn deletes_a_manifest_and_a_blob() {
    let server = logged_in();
    let repository = format!("{}/reports/weekly", server.host_port());
    let digest = push_artifact(&server, &format!("{repository}:v1"), "all is well\n");
    let manifest = json_of(&server, &["manifest", "fetch", &format!("{repository}:v1")]);
    let blob = manifest["layers"][0]["digest"].as_str().expect("a digest");

    run(oras(&server).args(["manifest", "delete", "--force", &format!("{repository}@{digest}")]));
    let said = combined(&run_failing(oras(&server).args(["resolve", &format!("{repository}:v1")])));
    assert!(said.contains("not found"), "{said}");
    run(oras(&server).args(["blob", "delete", "--force", &format!("{repository}@{blob}")]));
    let gone = format!("{repository}@{blob}");
    let said = combined(&run_failing(oras(&server).args(["blob", "fetch", "--output", "-", &gone])));
    assert!(said.contains("not found"), "{said}");
}

#[test]
fn refuses_a_wrong_password_no_login_and_a_stranger() {
    let server = TestServer::start(Options::default());
    let name = format!("{}/reports/weekly:v1", server.host_port());
    fs::write(server.directory().join("report.txt"), "all is well\n").expect("a file");
    let said = combined(&run_failing(oras(&server).args(["push", &name, "report.txt"])));
    assert!(said.contains("401") || said.contains("basic credential not found"), "{said}");

    let arguments = ["login", &server.host_port(), "-u", server.username(), "-p", "not the password"];
    let said = combined(&run_failing(oras(&server).args(arguments)));
    assert!(said.contains("unauthorized"), "{said}");

    let stranger = TestServer::start(Options::default());
    let said = combined(&run_failing(oras(&server).env("SSL_CERT_FILE", stranger.ca_certificate()).args([
        "repo",
        "ls",
        &server.host_port(),
    ])));
    assert!(said.contains("x509: certificate signed by unknown authority"), "{said}");
}
