//! The docker engine, as on a swarm node: certs.d, login, push, pull, broken transfers, services and stacks.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::docker_engine::DockerEngine;
use crate::support::sandbox::{other_ca, wait_until};
use crate::support::{ImageSpec, Layout, Options, TestServer, program};

const MIB: u64 = 1024 * 1024;

fn start() -> (TestServer, DockerEngine) {
    let server = TestServer::start(Options::default());
    let engine = DockerEngine::start(&server);
    (server, engine)
}

#[track_caller]
fn login(server: &TestServer, engine: &DockerEngine) {
    let said = engine.login("docker", server.username(), server.password()).ok();
    assert!(said.contains("Login Succeeded"), "{said}");
}

/// Loads an image of the test's own making, named `name` in the registry; answers its full name and id.
fn load(engine: &DockerEngine, spec: ImageSpec, name: &str) -> (String, String) {
    let directory = tempfile::tempdir_in(engine.path()).expect("a directory");
    let (layout, manifest) = Layout::with_image(&directory.path().join("layout"), spec, "made");
    let full_name = engine.image(name);
    let archive = directory.path().join("image.tar");
    layout.write_docker_archive(&manifest, &full_name, &archive);
    engine.docker(&format!("load --quiet --input {}", archive.display()));
    let id = layout.parts(&manifest)[0].digest.clone();
    assert_eq!(image_id(engine, &full_name), id);
    (full_name, id)
}

/// The digest of the image's configuration, which names the bytes of every layer.
#[track_caller]
fn image_id(engine: &DockerEngine, name: &str) -> String {
    engine.docker(&format!("image inspect --format {{{{.Id}}}} {name}"))
}

/// Pushes, and answers the digest that docker reports.
#[track_caller]
fn push(engine: &DockerEngine, name: &str) -> String {
    digest_in(&engine.docker(&format!("push {name}")))
}

#[track_caller]
fn digest_in(said: &str) -> String {
    let start = said.rfind("sha256:").unwrap_or_else(|| panic!("no digest in: {said}"));
    said[start..start + "sha256:".len() + 64].to_owned()
}

/// Forgets `local`, pulls `name` and insists on the same image: docker checks every byte against the id.
#[track_caller]
fn assert_pulls(engine: &DockerEngine, local: &str, name: &str, id: &str) {
    engine.docker(&format!("rmi {local}"));
    engine.docker_refused(&format!("image inspect {id}"), &["no such image"]);
    engine.docker(&format!("pull --quiet {name}"));
    assert_eq!(image_id(engine, name), id);
}

#[test]
fn trusts_certs_d_only_and_logs_in_with_the_right_password_only() {
    let (server, engine) = start();
    let registry = engine.registry();

    engine.distrust();
    engine
        .login("docker", server.username(), server.password())
        .refused_with(&["x509: certificate signed by unknown"]);
    engine.trust(&other_ca());
    engine
        .login("docker", server.username(), server.password())
        .refused_with(&["x509: certificate signed by unknown"]);
    engine.trust(&fs::read_to_string(server.ca_certificate()).expect("the CA"));

    let (name, _) = load(&engine, ImageSpec::new(1, 2, 1000), "team/app:1");
    let no_login = &["no basic auth credentials", "unauthorized", "authentication required"];
    engine.docker_refused(&format!("push {name}"), no_login);
    engine.docker_refused(&format!("pull {name}"), no_login);
    for (user, password) in [(server.username(), "wrong"), ("nobody", server.password())] {
        engine.login("docker", user, password).refused_with(&["401 unauthorized", "unauthorized"]);
    }

    login(&server, &engine);
    push(&engine, &name);
    engine.docker_refused(
        &format!("pull {registry}/team/absent:1"),
        &["manifest unknown", "not found", "repository does not exist"],
    );
    engine.docker(&format!("logout {registry}"));
    engine.docker_refused(&format!("pull {name}"), no_login);
}

#[test]
fn pushes_many_layers_and_pulls_them_by_tag_and_by_digest() {
    let (server, engine) = start();
    login(&server, &engine);
    let (name, id) = load(&engine, ImageSpec::new(2, 25, 200_000), "team/deep/many:1.0");
    let digest = push(&engine, &name);
    assert_eq!(push(&engine, &name), digest, "the same image again");
    assert_pulls(&engine, &name, &name, &id);
    let by_digest = engine.image(&format!("team/deep/many@{digest}"));
    assert_pulls(&engine, &name, &by_digest, &id);

    // Another repository gets the layers from the first, not over the wire.
    let copy = engine.image("other/copy:1");
    engine.docker(&format!("tag {id} {copy}"));
    let sent = engine.link().bytes_to_server();
    assert_eq!(push(&engine, &copy), digest);
    let sent = engine.link().bytes_to_server() - sent;
    assert!(sent < MIB, "{sent} bytes for 25 layers that the registry has");
    assert_pulls(&engine, &format!("--force {id}"), &copy, &id);

    // Every tag of a repository at once.
    let repository = engine.image("team/deep/many");
    for tag in ["2.0", "3.0"] {
        engine.docker(&format!("tag {copy} {repository}:{tag}"));
    }
    engine.docker(&format!("push --all-tags {repository}"));
    engine.docker(&format!("rmi --force {id}"));
    engine.docker(&format!("pull --all-tags {repository}"));
    for tag in ["1.0", "2.0", "3.0"] {
        assert_eq!(image_id(&engine, &format!("{repository}:{tag}")), id);
    }
}

#[test]
fn builds_pushes_and_runs_what_it_pulled() {
    let (server, engine) = start();
    login(&server, &engine);
    let name = build_busybox(&engine, "apps/hello:1", "first");
    let digest = push(&engine, &name);
    let id = image_id(&engine, &name);
    let by_digest = engine.image(&format!("apps/hello@{digest}"));
    assert_pulls(&engine, &name, &by_digest, &id);
    let said = engine.docker(&format!("run --rm --network none {by_digest} cat /text"));
    assert_eq!(said, "first");

    // The tag moves; the old digest stays.
    let name = build_busybox(&engine, "apps/hello:1", "second");
    assert_ne!(push(&engine, &name), digest);
    engine.docker(&format!("rmi {name} {by_digest}"));
    assert_eq!(engine.docker(&format!("run --rm --network none {name} cat /text")), "second");
    assert_eq!(engine.docker(&format!("run --rm --network none {by_digest} cat /text")), "first");
}

#[test]
fn pulls_its_own_platform_from_an_index() {
    let (server, engine) = start();
    login(&server, &engine);
    let layout = Layout::create(&engine.path().join("layout"));
    let images = ["arm64", "amd64", "riscv64"].map(|architecture| {
        let image = layout.add_image(ImageSpec { architecture, ..ImageSpec::new(7, 3, 10_000) });
        (image, architecture)
    });
    let index = layout.add_index(&images);
    layout.tag(&index, "all");
    program("skopeo", "skopeo");
    engine.login("skopeo", server.username(), server.password()).ok();
    let name = engine.image("team/platforms:1");
    engine.ok(&format!(
        "skopeo copy -q --all --preserve-digests oci:{}:all docker://{name}",
        layout.directory().display()
    ));

    engine.docker(&format!("pull --quiet --platform linux/arm64 {name}"));
    assert_eq!(image_id(&engine, &name), layout.parts(&images[0].0)[0].digest);
    // The engine keeps one platform for a digest.
    engine.docker(&format!("rmi {name}"));
    let by_digest = engine.image(&format!("team/platforms@{}", index.digest));
    engine.docker(&format!("pull --quiet --platform linux/amd64 {by_digest}"));
    assert_eq!(image_id(&engine, &by_digest), layout.parts(&images[1].0)[0].digest);
    engine.docker_refused(&format!("pull --platform linux/s390x {name}"), &["no matching manifest"]);
}

#[test]
fn goes_on_after_broken_transfers() {
    let (server, engine) = start();
    login(&server, &engine);
    let (name, id) = load(&engine, ImageSpec::new(3, 1, 48 * MIB), "team/broken:1");

    // The user gives up in the middle, twice, then means it; then the wire breaks by itself.
    for _ in 0..2 {
        let start = engine.link().bytes_to_server();
        let mut client = engine
            .command("docker")
            .args(["push", &name])
            .stdout(Stdio::null())
            .spawn()
            .expect("nsenter starts");
        let sent = || engine.link().bytes_to_server() - start;
        assert!(wait_until(Duration::from_secs(30), || sent() > 8 * MIB), "the push does not begin");
        client.kill().expect("our own child");
        client.wait().expect("our own child");
        assert!(sent() < 48 * MIB, "too late to interrupt");
    }
    engine.link().break_after_sending(16 * MIB);
    let digest = push(&engine, &name);
    assert!(engine.link().has_broken());

    let name = engine.image(&format!("team/broken@{digest}"));
    engine.link().break_after_receiving(30 * MIB);
    let received = engine.link().bytes_to_client();
    assert_pulls(&engine, &format!("--force {id}"), &name, &id);
    assert!(engine.link().has_broken());
    let received = engine.link().bytes_to_client() - received;
    assert!(received < 56 * MIB, "{received} bytes for 48 MiB: the pull did not resume");
}

#[test]
fn a_push_outlives_a_crash_of_the_registry() {
    let (mut server, engine) = start();
    login(&server, &engine);
    let (name, id) = load(&engine, ImageSpec::new(5, 3, 32 * MIB), "team/crash:1");
    let sent = engine.link().bytes_to_server();
    let push = engine
        .command("docker")
        .args(["push", &name])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsenter starts");
    let begun = wait_until(Duration::from_secs(30), || engine.link().bytes_to_server() - sent > 40 * MIB);
    assert!(begun, "the push does not begin");
    server.kill_9();
    server.restart();
    let output = push.wait_with_output().expect("our own child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_pulls(&engine, &name, &name, &id);
}

#[test]
fn pushes_and_pulls_a_layer_of_one_gibibyte() {
    let (server, engine) = start();
    login(&server, &engine);
    let (name, id) = load(&engine, ImageSpec::new(4, 1, 1024 * MIB), "team/big:1");
    let start = Instant::now();
    push(&engine, &name);
    println!("docker push of 1 GiB: {:?}", start.elapsed());
    let start = Instant::now();
    assert_pulls(&engine, &name, &name, &id);
    println!("docker pull of 1 GiB: {:?}", start.elapsed());
}

#[test]
fn swarm_runs_the_image_the_registry_names() {
    let (server, engine) = start();
    login(&server, &engine);
    let name = build_busybox(&engine, "apps/web:1", "as deployed");
    let digest = push(&engine, &name);
    let id = image_id(&engine, &name);
    // What runs has to come from the registry.
    engine.docker(&format!("rmi {name}"));
    engine.docker("swarm init --advertise-addr 10.99.0.1");

    engine.docker(&format!(
        "service create --quiet --detach --with-registry-auth --network host --name web {name} sleep 600"
    ));
    assert_runs(&engine, "web", &digest, &id);

    let stack = engine.path().join("stack.yml");
    let text = format!(
        "version: '3.8'\nservices:\n  app:\n    image: {name}\n    command: [sleep, '600']\n    \
         networks: [outside]\nnetworks:\n  outside: {{external: true, name: host}}\n"
    );
    fs::write(&stack, text).expect("a stack file");
    engine.docker(&format!("stack deploy --with-registry-auth --compose-file {} shop", stack.display()));
    assert_runs(&engine, "shop_app", &digest, &id);

    // Another image under the tag: deploying the stack again is the update.
    let name = build_busybox(&engine, "apps/web:1", "the next version");
    let next = push(&engine, &name);
    let next_id = image_id(&engine, &name);
    assert_ne!(next, digest);
    engine.docker(&format!("rmi {name}"));
    engine.docker(&format!("stack deploy --with-registry-auth --compose-file {} shop", stack.display()));
    assert_runs(&engine, "shop_app", &next, &next_id);
    engine.docker("service rm web shop_app");
    engine.docker("swarm leave --force");
}

/// Waits until `service` runs a container of `id`, and insists that it is pinned to `digest`.
#[track_caller]
fn assert_runs(engine: &DockerEngine, service: &str, digest: &str, id: &str) {
    let pinned = engine.docker(&format!(
        "service inspect --format {{{{.Spec.TaskTemplate.ContainerSpec.Image}}}} {service}"
    ));
    assert!(pinned.ends_with(&format!("@{digest}")), "{service} is pinned to {pinned}, not {digest}");
    let filter = format!("ps --quiet --filter label=com.docker.swarm.service.name={service}");
    let running = wait_until(Duration::from_secs(60), || {
        engine.docker(&filter).split_whitespace().any(|container| {
            let inspected = engine.run("docker", &["inspect", "--format", "{{.Image}}", container]);
            inspected.stdout.trim() == id
        })
    });
    assert!(
        running,
        "{service} does not run {id}:\n{}",
        engine.docker(&format!("service ps --no-trunc {service}"))
    );
}

/// Builds an image from Debian's static busybox, with `text` in `/text`; answers its full name.
#[track_caller]
fn build_busybox(engine: &DockerEngine, name: &str, text: &str) -> String {
    let busybox = "/usr/bin/busybox";
    assert!(fs::exists(busybox).is_ok_and(|there| there), "missing: apt-get install busybox-static");
    let context = tempfile::tempdir_in(engine.path()).expect("a directory");
    fs::copy(busybox, context.path().join("busybox")).expect("a copy of busybox");
    fs::write(context.path().join("text"), text).expect("a file");
    let recipe = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/cat\nCOPY busybox /bin/sleep\n\
                  COPY text /text\nENV PATH=/bin\n";
    fs::write(context.path().join("Dockerfile"), recipe).expect("a file");
    let name = engine.image(name);
    engine.docker(&format!("build --quiet --tag {name} {}", context.path().display()));
    name
}
