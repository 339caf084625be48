//! regctl (regclient): chunked uploads, tag deletion, referrers and sha512.

use std::fs::{self, File};
use std::process::Command;

use sha2::{Digest as _, Sha512};

use crate::support::{
    ImageSpec, Layout, Options, TestServer, combined, go_tool, run, run_failing, run_with_input,
};

fn regctl(server: &TestServer) -> Command {
    let mut command = go_tool("regctl", "github.com/regclient/regclient/cmd/regctl");
    command
        .current_dir(server.directory())
        .env("REGCTL_CONFIG", server.directory().join("regctl.json"))
        .env("DOCKER_CONFIG", server.directory().join("docker-config"))
        .env("SSL_CERT_FILE", server.ca_certificate())
        .env("SSL_CERT_DIR", "/nonexistent");
    command
}

fn login(server: &TestServer) -> Command {
    let mut command = regctl(server);
    command.args(["registry", "login", &server.host_port(), "-u", server.username(), "--pass-stdin"]);
    command
}

fn logged_in() -> TestServer {
    let server = TestServer::start(Options::default());
    run_with_input(&mut login(&server), server.password().as_bytes());
    server
}

fn output_of(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).expect("regctl writes UTF-8").trim().to_owned()
}

fn push(server: &TestServer, spec: ImageSpec, name: &str) -> (Layout, crate::support::Blob) {
    let (layout, image) = Layout::with_image(&server.directory().join("layout"), spec, "v1");
    run(regctl(server).args(["image", "copy", "ocidir://layout:v1", name]));
    (layout, image)
}

#[test]
fn copies_from_a_layout_and_back() {
    let server = logged_in();
    let name = format!("{}/team/app:v1", server.host_port());
    let (layout, image) = push(&server, ImageSpec::new(21, 12, 30_000), &name);
    assert_eq!(output_of(regctl(&server).args(["image", "digest", &name])), image.digest);

    run(regctl(&server).args(["image", "copy", &name, "ocidir://pulled:v1"]));
    for blob in layout.parts(&image).iter().chain([&image]) {
        let pulled = server.directory().join("pulled/blobs/sha256").join(blob.hex());
        assert!(fs::read(pulled).expect("a pulled blob") == layout.read(blob), "{} differs", blob.digest);
    }
    let to = format!("{}/team/copy:v1", server.host_port());
    run(regctl(&server).args(["image", "copy", &name, &to]));
    assert_eq!(output_of(regctl(&server).args(["image", "digest", &to])), image.digest);
}

#[test]
fn uploads_in_chunks_of_64_kibibytes() {
    let server = logged_in();
    let sizes = ["--blob-chunk", "65536", "--blob-max", "65536"];
    run(regctl(&server).args(["registry", "set", &server.host_port()]).args(sizes));
    let layout = Layout::create(&server.directory().join("layout"));
    // Neither a whole number of chunks nor a file that fits into one.
    let blob = layout.add_layer(22, 1_000_003);
    let repository = format!("{}/team/chunks", server.host_port());

    let file = File::open(layout.path(&blob)).expect("a blob of this layout");
    let mut put = regctl(&server);
    put.args(["blob", "put", "--digest", &blob.digest, "--verbosity", "trace", &repository]);
    let output = put.stdin(file).output().expect("regctl starts");
    let said = combined(&output);
    assert!(output.status.success(), "{said}");
    let patches = said.matches("PATCH").count();
    assert!(patches >= 15, "about 16 chunks, not {patches}:\n{said}");
    let fetched = run(regctl(&server).args(["blob", "get", &repository, &blob.digest]));
    assert!(fetched.stdout == layout.read(&blob), "the blob came back changed");
}

#[test]
fn deletes_one_tag_and_keeps_the_other() {
    let server = logged_in();
    let repository = format!("{}/team/app", server.host_port());
    let (_, image) = push(&server, ImageSpec::new(23, 2, 5_000), &format!("{repository}:v1"));
    let copy = ["image", "copy", &format!("{repository}:v1"), &format!("{repository}:v2")].map(String::from);
    run(regctl(&server).args(copy));

    run(regctl(&server).args(["tag", "delete", &format!("{repository}:v1")]));
    assert_eq!(output_of(regctl(&server).args(["tag", "ls", &repository])), "v2");
    assert_eq!(
        output_of(regctl(&server).args(["image", "digest", &format!("{repository}:v2")])),
        image.digest
    );

    run(regctl(&server).args(["manifest", "delete", &format!("{repository}@{}", image.digest)]));
    run_failing(regctl(&server).args(["image", "digest", &format!("{repository}:v2")]));
}

#[test]
fn puts_an_artifact_with_a_subject_and_lists_it() {
    let server = logged_in();
    let repository = format!("{}/team/app", server.host_port());
    let subject = format!("{repository}:v1");
    push(&server, ImageSpec::new(24, 2, 5_000), &subject);
    for artifact_type in ["application/vnd.example.one", "application/vnd.example.two"] {
        run_with_input(
            regctl(&server).args([
                "artifact",
                "put",
                "--artifact-type",
                artifact_type,
                "--subject",
                &subject,
            ]),
            artifact_type.as_bytes(),
        );
    }
    let types = ["--format", "{{range .Descriptors}}{{println .ArtifactType}}{{end}}"];
    let mut listed: Vec<_> = output_of(regctl(&server).args(["artifact", "list", &subject]).args(types))
        .lines()
        .map(String::from)
        .collect();
    listed.sort();
    assert_eq!(listed, ["application/vnd.example.one", "application/vnd.example.two"]);
    let filter = ["--filter-artifact-type", "application/vnd.example.two"];
    let filtered = output_of(regctl(&server).args(["artifact", "list", &subject]).args(filter).args(types));
    assert_eq!(filtered, "application/vnd.example.two");
    // A client that does not see `OCI-Subject` writes a tag `sha256-...` instead.
    assert_eq!(output_of(regctl(&server).args(["tag", "ls", &repository])), "v1");
}

#[test]
fn pushes_with_sha512() {
    let server = logged_in();
    let repository = format!("{}/team/long", server.host_port());
    let content = b"a blob that is known by its sha512";
    let digest: String = Sha512::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = format!("sha512:{digest}");
    run_with_input(regctl(&server).args(["blob", "put", "--digest", &digest, &repository]), content);
    let fetched = run(regctl(&server).args(["blob", "get", &repository, &digest]));
    assert_eq!(fetched.stdout, content);

    let source = format!("{repository}:v1");
    push(&server, ImageSpec::new(25, 2, 5_000), &source);
    let long = format!("{repository}:v1-sha512");
    run(regctl(&server).args(["image", "mod", "--digest-algo", "sha512", "--create", &long, &source]));
    let long_digest = output_of(regctl(&server).args(["image", "digest", &long]));
    assert!(long_digest.starts_with("sha512:"), "{long_digest}");
    let by_digest = format!("{repository}@{long_digest}");
    run(regctl(&server).args(["image", "copy", &by_digest, "ocidir://long:v1"]));
    let copied = server.directory().join("long/blobs/sha512").join(&long_digest["sha512:".len()..]);
    assert!(copied.is_file(), "no manifest at {}", copied.display());
}

#[test]
fn refuses_a_wrong_password_no_login_and_a_stranger() {
    let server = TestServer::start(Options::default());
    let repository = format!("{}/team/app", server.host_port());
    let said = combined(&run_failing(regctl(&server).args(["tag", "ls", &repository])));
    assert!(said.contains("unauthorized"), "{said}");

    let mut wrong = regctl(&server);
    wrong.args(["registry", "login", &server.host_port(), "-u", server.username(), "-p", "not the password"]);
    let said = combined(&run_failing(&mut wrong));
    assert!(said.contains("unauthorized"), "{said}");

    let stranger = TestServer::start(Options::default());
    let said =
        combined(&run_failing(regctl(&server).env("SSL_CERT_FILE", stranger.ca_certificate()).args([
            "tag",
            "ls",
            &repository,
        ])));
    assert!(said.contains("x509: certificate signed by unknown authority"), "{said}");
}
