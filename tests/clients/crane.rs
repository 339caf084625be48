//! crane (go-containerregistry, which ko, cosign, kaniko and Trivy are built on): HTTP/2, mounts, validation.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{
    Blob, ImageSpec, Layout, Options, TestServer, combined, go_tool, run, run_failing, run_with_input,
};

/// crane with its own login file, and only this server's CA in its pool.
fn crane(server: &TestServer) -> Command {
    let mut command = go_tool("crane", "github.com/google/go-containerregistry/cmd/crane");
    command
        .env("DOCKER_CONFIG", server.directory().join("docker-config"))
        .env("SSL_CERT_FILE", server.ca_certificate())
        .env("SSL_CERT_DIR", "/nonexistent");
    command
}

fn login(server: &TestServer, password: &str) {
    run_with_input(
        crane(server).args([
            "auth",
            "login",
            &server.host_port(),
            "-u",
            server.username(),
            "--password-stdin",
        ]),
        password.as_bytes(),
    );
}

fn logged_in() -> TestServer {
    let server = TestServer::start(Options::default());
    login(&server, server.password());
    server
}

fn image_name(server: &TestServer, name: &str) -> String {
    format!("{}/{name}", server.host_port())
}

fn output_of(server: &TestServer, arguments: &[&str]) -> String {
    let output = run(crane(server).args(arguments));
    String::from_utf8(output.stdout).expect("crane writes UTF-8").trim().to_owned()
}

/// Pulls into a new layout and compares each blob with the original.
fn assert_pulls(server: &TestServer, name: &str, layout: &Layout, image: &Blob) {
    let pulled = tempfile::tempdir_in(server.directory()).expect("a directory");
    run(crane(server).args(["pull", "--format", "oci", name]).arg(pulled.path()));
    for blob in layout.parts(image).iter().chain([image]) {
        let found = fs::read(pulled.path().join("blobs/sha256").join(blob.hex())).expect("a pulled blob");
        assert!(found == layout.read(blob), "{name}: {} is not what was pushed", blob.digest);
    }
}

#[test]
fn pushes_a_layout_and_pulls_it_by_tag_and_by_digest() {
    let server = logged_in();
    let layout_directory = server.directory().join("layout");
    let (layout, image) = Layout::with_image(&layout_directory, ImageSpec::new(1, 40, 50_000), "v1");
    let name = image_name(&server, "team/app:v1");
    run(crane(&server).arg("push").arg(layout.directory()).arg(&name));

    assert_eq!(output_of(&server, &["digest", &name]), image.digest);
    let by_digest = image_name(&server, &format!("team/app@{}", image.digest));
    assert_eq!(output_of(&server, &["manifest", &by_digest]).as_bytes(), layout.read(&image));
    assert_pulls(&server, &name, &layout, &image);
    assert_pulls(&server, &by_digest, &layout, &image);
}

#[test]
fn pushes_a_docker_archive_and_lists_it() {
    let server = logged_in();
    let layout = Layout::create(&server.directory().join("layout"));
    let image = layout.add_image(ImageSpec::new(2, 3, 10_000));
    let archive = server.directory().join("image.tar");
    layout.write_docker_archive(&image, "anything:v1", &archive);
    for name in ["team/archive:v1", "team/archive:v2", "other:latest"] {
        run(crane(&server).arg("push").arg(&archive).arg(image_name(&server, name)));
    }

    run(crane(&server).args(["validate", "--remote", &image_name(&server, "team/archive:v2")]));
    assert_eq!(output_of(&server, &["ls", &image_name(&server, "team/archive")]), "v1\nv2");
    assert_eq!(output_of(&server, &["catalog", &server.host_port()]), "other\nteam/archive");
    let type_of_manifest: Value =
        serde_json::from_str(&output_of(&server, &["manifest", &image_name(&server, "other:latest")]))
            .expect("a manifest is JSON");
    assert_eq!(type_of_manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
}

#[test]
fn copies_to_another_repository_by_mounting() {
    let server = logged_in();
    let (layout, image) =
        Layout::with_image(&server.directory().join("layout"), ImageSpec::new(3, 5, 20_000), "v1");
    let (from, to) = (image_name(&server, "from/here:v1"), image_name(&server, "to/there:v1"));
    run(crane(&server).arg("push").arg(layout.directory()).arg(&from));

    let said = combined(&run(crane(&server).args(["copy", &from, &to])));
    assert_eq!(said.matches("mounted blob").count(), 6, "five layers and a configuration:\n{said}");
    assert_pulls(&server, &to, &layout, &image);
}

#[test]
fn builds_a_multi_platform_index() {
    let server = logged_in();
    let layout = Layout::create(&server.directory().join("layout"));
    for (seed, architecture) in [(4, "amd64"), (5, "arm64")] {
        let image = layout.add_image(ImageSpec { architecture, ..ImageSpec::new(seed, 2, 5_000) });
        // crane compresses what it reads from an archive, and `validate` believes that every layer is gzip.
        let archive = server.directory().join(architecture);
        layout.write_docker_archive(&image, "anything:v1", &archive);
        let name = image_name(&server, &format!("multi/app:{architecture}"));
        run(crane(&server).arg("push").arg(archive).arg(name));
    }
    let (amd64, arm64) = (image_name(&server, "multi/app:amd64"), image_name(&server, "multi/app:arm64"));
    let index = image_name(&server, "multi/app:all");
    run(crane(&server).args(["index", "append", "-m", &amd64, "-m", &arm64, "-t", &index]));

    run(crane(&server).args(["validate", "--remote", &index]));
    let picked = output_of(&server, &["digest", "--platform", "linux/arm64", &index]);
    assert_eq!(picked, output_of(&server, &["digest", &arm64]));
    let manifest: Value =
        serde_json::from_str(&output_of(&server, &["manifest", &index])).expect("an index is JSON");
    assert_eq!(manifest["manifests"].as_array().map(Vec::len), Some(2));
}

#[test]
fn deletes_a_tag_and_then_the_manifest() {
    let server = logged_in();
    let (layout, image) =
        Layout::with_image(&server.directory().join("layout"), ImageSpec::new(6, 2, 5_000), "v1");
    for tag in ["v1", "v2"] {
        let name = image_name(&server, &format!("team/app:{tag}"));
        run(crane(&server).arg("push").arg(layout.directory()).arg(name));
    }
    let by_digest = image_name(&server, &format!("team/app@{}", image.digest));

    run(crane(&server).args(["delete", &image_name(&server, "team/app:v1")]));
    assert_eq!(output_of(&server, &["ls", &image_name(&server, "team/app")]), "v2");
    assert_pulls(&server, &by_digest, &layout, &image);

    run(crane(&server).args(["delete", &by_digest]));
    let said = combined(&run_failing(crane(&server).args(["manifest", &by_digest])));
    assert!(said.contains("MANIFEST_UNKNOWN"), "{said}");
    assert_eq!(output_of(&server, &["ls", &image_name(&server, "team/app")]), "");
}

#[test]
fn moves_an_image_of_one_gibibyte() {
    let server = logged_in();
    let layout_directory = server.directory().join("layout");
    let (layout, image) = Layout::with_image(&layout_directory, ImageSpec::new(7, 1, 1 << 30), "v1");
    let name = image_name(&server, "big/one:v1");
    run(crane(&server).arg("push").arg(layout.directory()).arg(&name));
    let layer = &layout.parts(&image)[1];
    let pulled = server.directory().join("pulled");
    run(crane(&server).args(["pull", "--format", "oci", &name]).arg(&pulled));
    run(Command::new("cmp").arg(layout.path(layer)).arg(pulled.join("blobs/sha256").join(layer.hex())));
}

#[test]
fn refuses_a_wrong_password_and_no_login() {
    let server = TestServer::start(Options::default());
    let name = image_name(&server, "team/app:v1");
    let said = combined(&run_failing(crane(&server).args(["digest", &name])));
    assert!(said.contains("UNAUTHORIZED") || said.contains("401"), "{said}");

    login(&server, "not the password");
    for arguments in [["digest", &name], ["manifest", &name]] {
        let said = combined(&run_failing(crane(&server).args(arguments)));
        assert!(said.contains("UNAUTHORIZED") || said.contains("401"), "{said}");
    }
    let (layout, _) =
        Layout::with_image(&server.directory().join("layout"), ImageSpec::new(8, 1, 1_000), "v1");
    let said = combined(&run_failing(crane(&server).arg("push").arg(layout.directory()).arg(&name)));
    assert!(said.contains("UNAUTHORIZED") || said.contains("401"), "{said}");

    login(&server, server.password());
    let said = combined(&run_failing(crane(&server).args(["digest", &name])));
    assert!(said.contains("404") || said.contains("UNKNOWN"), "nothing was stored: {said}");
}

#[test]
fn refuses_a_certificate_of_a_stranger() {
    let server = logged_in();
    let stranger = TestServer::start(Options::default());
    let other_ca: &Path = stranger.ca_certificate();
    let name = image_name(&server, "team/app:v1");
    let said = combined(&run_failing(crane(&server).env("SSL_CERT_FILE", other_ca).args(["digest", &name])));
    assert!(said.contains("x509: certificate signed by unknown authority"), "{said}");
}
