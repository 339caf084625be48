//! buildah: images made step by step, pushed in every compression and format it has, and pulled again.

use std::fs;

use serde_json::Value;

use crate::support::sandbox::{Sandbox, other_ca};
use crate::support::{Options, TestServer, program};

fn start() -> (TestServer, Sandbox) {
    program("buildah", "buildah");
    let server = TestServer::start(Options::default());
    let sandbox = Sandbox::start(&server);
    (server, sandbox)
}

/// Makes an image from nothing with a file and a label; answers its local name.
#[track_caller]
fn build(sandbox: &Sandbox, name: &str) -> String {
    let file = sandbox.path().join("content");
    fs::write(&file, format!("content of {name}\n").repeat(5000)).expect("a file");
    let container = sandbox.ok("buildah from scratch");
    sandbox.ok(&format!("buildah copy --quiet {container} {} /content", file.display()));
    sandbox.ok(&format!("buildah config --label org.example.name={name} --cmd /content {container}"));
    let local = format!("localhost/{name}");
    sandbox.ok(&format!("buildah commit --quiet --rm {container} {local}"));
    local
}

#[track_caller]
fn image_id(sandbox: &Sandbox, name: &str) -> String {
    sandbox.ok(&format!("buildah inspect --type image --format {{{{.FromImageID}}}} {name}"))
}

#[test]
fn refuses_an_unknown_ca_a_wrong_password_and_no_login() {
    let (server, sandbox) = start();
    let local = build(&sandbox, "app");
    let push = format!("buildah push {local} docker://{}", sandbox.image("team/app:1"));
    sandbox.refused(&push, &["unauthorized", "authentication required"]);
    sandbox.login("buildah", server.username(), "wrong").refused_with(&["invalid username/password"]);
    sandbox.trust(&other_ca());
    sandbox.refused(&push, &["x509: certificate signed by unknown authority"]);
    sandbox.trust(&fs::read_to_string(server.ca_certificate()).expect("the CA"));
    sandbox.login("buildah", server.username(), server.password()).ok();
    sandbox.ok(&push);
}

#[test]
fn pushes_every_compression_and_format_and_pulls_them() {
    let (server, sandbox) = start();
    sandbox.login("buildah", server.username(), server.password()).ok();
    let oci = "application/vnd.oci.image.layer.v1.tar";
    for (name, options, layer_type) in [
        ("gzip", "--compression-format gzip", format!("{oci}+gzip")),
        ("zstd", "--compression-format zstd", format!("{oci}+zstd")),
        ("chunked", "--compression-format zstd:chunked", format!("{oci}+zstd")),
        ("docker", "--format docker", "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned()),
    ] {
        let local = build(&sandbox, name);
        let remote = sandbox.image(&format!("team/{name}:1"));
        let digest_file = sandbox.path().join("digest");
        sandbox.ok(&format!(
            "buildah push --quiet {options} --digestfile {} {local} docker://{remote}",
            digest_file.display()
        ));
        let digest = fs::read_to_string(&digest_file).expect("buildah writes the digest");
        let by_digest = sandbox.image(&format!("team/{name}@{digest}"));

        let mut ids = Vec::new();
        for reference in [&remote, &by_digest] {
            sandbox.ok("buildah rmi --all --force");
            sandbox.ok(&format!("buildah pull --quiet {reference}"));
            ids.push(image_id(&sandbox, reference));
            let inspected = sandbox.ok(&format!("buildah inspect --type image {reference}"));
            let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
            assert_eq!(inspected["FromImageDigest"], digest, "{name}");
            let manifest: Value =
                serde_json::from_str(inspected["Manifest"].as_str().expect("a manifest")).expect("JSON");
            assert_eq!(manifest["layers"][0]["mediaType"], layer_type, "{name}");
            assert_eq!(inspected["OCIv1"]["config"]["Labels"]["org.example.name"], name);
        }
        assert_eq!(ids[0], ids[1], "{name}");
    }
}

#[test]
fn builds_on_an_image_of_the_registry() {
    let (server, sandbox) = start();
    sandbox.login("buildah", server.username(), server.password()).ok();
    let base = sandbox.image("team/base:1");
    let local = build(&sandbox, "base");
    sandbox.ok(&format!("buildah push --quiet {local} docker://{base}"));
    sandbox.ok("buildah rmi --all --force");

    let context = sandbox.path().join("context");
    fs::create_dir(&context).expect("a directory");
    fs::write(context.join("Containerfile"), format!("FROM {base}\nCOPY extra /extra\n")).expect("a file");
    fs::write(context.join("extra"), "extra").expect("a file");
    let derived = sandbox.image("team/derived:1");
    sandbox.ok(&format!("buildah bud --quiet --tag {derived} {}", context.display()));
    sandbox.ok(&format!("buildah push --quiet {derived}"));
    let id = image_id(&sandbox, &derived);
    sandbox.ok("buildah rmi --all --force");
    sandbox.ok(&format!("buildah pull --quiet {derived}"));
    assert_eq!(image_id(&sandbox, &derived), id);
}
