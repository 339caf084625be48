//! podman: build, push, pull, manifest lists, catalogue search, and images that are fetched in ranges.

use std::fs;
use std::io::Read as _;

use crate::support::pseudo_random;
use crate::support::sandbox::{Sandbox, other_ca};
use crate::support::{ImageSpec, Layout, Options, TestServer, program};

const MIB: u64 = 1024 * 1024;

fn start() -> (TestServer, Sandbox) {
    program("podman", "podman");
    let server = TestServer::start(Options::default());
    let sandbox = Sandbox::start(&server);
    (server, sandbox)
}

fn logged_in() -> (TestServer, Sandbox) {
    let (server, sandbox) = start();
    let said = sandbox.login("podman", server.username(), server.password()).ok();
    assert!(said.contains("Login Succeeded"), "{said}");
    (server, sandbox)
}

/// Loads an image of the test's own making under its name in the registry; answers the name and the id.
#[track_caller]
fn load(sandbox: &Sandbox, spec: ImageSpec, name: &str) -> (String, String) {
    let directory = tempfile::tempdir_in(sandbox.path()).expect("a directory");
    let (layout, image) = Layout::with_image(&directory.path().join("layout"), spec, "made");
    let name = sandbox.image(name);
    let archive = directory.path().join("image.tar");
    layout.write_docker_archive(&image, &name, &archive);
    sandbox.ok(&format!("podman load --quiet --input {}", archive.display()));
    let id = image_id(sandbox, &name);
    (name, id)
}

#[track_caller]
fn image_id(sandbox: &Sandbox, name: &str) -> String {
    sandbox.ok(&format!("podman image inspect --format {{{{.Id}}}} {name}"))
}

/// Pushes; answers the digest of the manifest that the registry has now.
#[track_caller]
fn push(sandbox: &Sandbox, command: &str) -> String {
    let file = sandbox.path().join("pushed-digest");
    sandbox.ok(&command.replace("push", &format!("push --digestfile {}", file.display())));
    fs::read_to_string(&file).expect("podman writes the digest")
}

/// Forgets every image, pulls `name` and insists on the same one: podman checks every byte against the id.
#[track_caller]
fn assert_pulls(sandbox: &Sandbox, name: &str, id: &str) {
    sandbox.ok("podman rmi --all --force");
    assert_eq!(sandbox.ok("podman images --all --quiet"), "");
    sandbox.ok(&format!("podman pull --quiet {name}"));
    assert_eq!(image_id(sandbox, name), id);
}

#[test]
fn refuses_an_unknown_ca_a_wrong_password_and_no_login() {
    let (server, sandbox) = start();
    let (name, _) = load(&sandbox, ImageSpec::new(40, 2, 1000), "team/app:1");
    let (push, pull) = (format!("podman push {name}"), format!("podman pull {name}"));
    let no_login = &["unauthorized", "authentication required"];
    sandbox.refused(&push, no_login);
    sandbox.refused(&pull, no_login);
    for (user, password) in [(server.username(), "wrong"), ("nobody", server.password())] {
        sandbox.login("podman", user, password).refused_with(&["invalid username/password"]);
    }
    let x509 = &["x509: certificate signed by unknown authority"];
    sandbox.trust(&other_ca());
    sandbox.login("podman", server.username(), server.password()).refused_with(x509);
    sandbox.distrust();
    sandbox.refused(&push, x509);
    sandbox.refused(&pull, x509);

    sandbox.trust(&fs::read_to_string(server.ca_certificate()).expect("the CA"));
    sandbox.login("podman", server.username(), server.password()).ok();
    sandbox.refused(&pull, &["manifest unknown", "name unknown"]);
    sandbox.ok(&push);
    sandbox.ok(&pull);
    sandbox.ok(&format!("podman logout {}", sandbox.registry()));
    sandbox.refused(&pull, no_login);
}

#[test]
fn pushes_many_layers_and_pulls_them_by_tag_and_by_digest() {
    let (_server, sandbox) = logged_in();
    let (name, id) = load(&sandbox, ImageSpec::new(41, 20, 100_000), "team/deep/many:1.0");
    let digest = push(&sandbox, &format!("podman push {name}"));
    assert_eq!(push(&sandbox, &format!("podman push {name}")), digest, "the same image again");
    assert_pulls(&sandbox, &name, &id);
    assert_pulls(&sandbox, &sandbox.image(&format!("team/deep/many@{digest}")), &id);

    // Into another repository: podman mounts what it knows to be there.
    let copy = sandbox.image("other/copy:1");
    let sent = sandbox.link().bytes_to_server();
    sandbox.ok(&format!("podman push {id} docker://{copy}"));
    let sent = sandbox.link().bytes_to_server() - sent;
    assert!(sent < MIB, "{sent} bytes for 20 layers that the registry has");
    assert_pulls(&sandbox, &copy, &id);
}

#[test]
fn pushes_a_manifest_list_and_pulls_each_platform() {
    let (_server, sandbox) = logged_in();
    let name = sandbox.image("team/platforms:1");
    sandbox.ok(&format!("podman manifest create {name}"));
    let ids = ["amd64", "arm64"].map(|architecture| {
        let context = sandbox.path().join(architecture);
        fs::create_dir(&context).expect("a directory");
        fs::write(context.join("platform"), architecture).expect("a file");
        fs::write(context.join("Containerfile"), "FROM scratch\nCOPY platform /\n").expect("a file");
        let built = format!("localhost/platform:{architecture}");
        let platform = format!("--platform linux/{architecture}");
        sandbox.ok(&format!("podman build --quiet {platform} --tag {built} {}", context.display()));
        sandbox.ok(&format!("podman manifest add {name} containers-storage:{built}"));
        (architecture, image_id(&sandbox, &built))
    });
    let digest = push(&sandbox, &format!("podman manifest push --all {name} docker://{name}"));

    sandbox.ok(&format!("podman manifest rm {name}"));
    for reference in [name, sandbox.image(&format!("team/platforms@{digest}"))] {
        for (architecture, id) in &ids {
            sandbox.ok("podman rmi --all --force");
            sandbox.ok(&format!("podman pull --quiet --platform linux/{architecture} {reference}"));
            assert_eq!(image_id(&sandbox, &reference), *id);
        }
    }
}

#[test]
fn finds_repositories_and_tags() {
    let (_server, sandbox) = logged_in();
    let (name, id) = load(&sandbox, ImageSpec::new(42, 1, 1000), "team/one:1");
    sandbox.ok(&format!("podman push {name}"));
    for other in ["team/one:2", "team/two:1", "else/where:1"] {
        sandbox.ok(&format!("podman push {id} docker://{}", sandbox.image(other)));
    }
    // The catalogue and the tag list.
    let found = sandbox.ok(&format!("podman search --format {{{{.Name}}}} {}", sandbox.image("team")));
    let mut found: Vec<_> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, [sandbox.image("team/one"), sandbox.image("team/two")]);
    let tags = sandbox.ok(&format!("podman search --list-tags {}", sandbox.image("team/one")));
    let mut tags: Vec<_> = tags.lines().skip(1).filter_map(|line| line.split_whitespace().last()).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["1", "2"]);
}

/// Pulls parts of layers; gives how many bytes came. podman 4.3 sometimes panics at it: it goes on to the next part of an
/// answer while a decoder of its own still reads the one before (`slice bounds out of range` in its `bufio.Reader`). Then
/// it is tried again.
fn pull_partially(sandbox: &Sandbox, name: &str) -> u64 {
    for _ in 0..4 {
        let before = sandbox.link().bytes_to_client();
        let pulled = sandbox.run("podman", &["pull", "--quiet", name]);
        if pulled.succeeded() {
            return sandbox.link().bytes_to_client() - before;
        }
        assert!(
            pulled.stderr.contains("panic: runtime error: slice bounds out of range"),
            "{}",
            pulled.stderr
        );
        println!("podman panicked, and pulls again");
    }
    panic!("podman panics each time");
}

/// zstd:chunked: of the second version only the changed files are fetched, many ranges in one request.
#[test]
fn pulls_of_a_new_version_only_what_has_changed() {
    let (_server, sandbox) = logged_in();
    program("buildah", "buildah");
    // Fetching parts of a layer needs the overlay driver, and that a disk which is not an overlay itself.
    let storage = sandbox.etc().join("containers/storage.conf");
    fs::write(
        storage,
        "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers\"\ngraphroot = \"/run/chunked\"\n\
         [storage.options]\npull_options = {enable_partial_images = \"true\", use_hard_links = \"false\", \
         ostree_repos = \"\"}\n",
    )
    .expect("storage.conf");
    let context = sandbox.path().join("context");
    fs::create_dir(&context).expect("a directory");
    fs::write(context.join("Containerfile"), "FROM scratch\nCOPY . /\n").expect("a file");
    let write = |number: u64, seed: u64| {
        let mut bytes = Vec::new();
        pseudo_random(seed).take(MIB).read_to_end(&mut bytes).expect("a stream without end");
        fs::write(context.join(format!("file-{number:02}")), bytes).expect("a file");
    };
    (0..16).for_each(|number| write(number, 4300 + number));
    let versions = ["1", "2"].map(|tag| {
        let name = sandbox.image(&format!("team/chunked:{tag}"));
        sandbox.ok(&format!("buildah bud --quiet --tag {name} {}", context.display()));
        sandbox.ok(&format!("buildah push --quiet --compression-format zstd:chunked {name}"));
        let id = image_id(&sandbox, &name);
        // For the second version: files that do not lie side by side.
        [2, 7, 12].into_iter().for_each(|number| write(number, 4400 + number));
        (name, id)
    });
    let [(first, first_id), (second, second_id)] = versions;
    assert_pulls(&sandbox, &first, &first_id);
    let received = pull_partially(&sandbox, &second);
    assert_eq!(image_id(&sandbox, &second), second_id);
    println!("podman partial pull: {received} bytes of a layer of 16 MiB, of which 3 MiB changed");
    assert!(received > 3 * MIB, "{received} bytes are not even the changed files");
    assert!(received < 8 * MIB, "{received} bytes: the whole layer came again");
    // The files are what was built, those fetched and those taken from the first version.
    let mounted = sandbox.ok(&format!("podman image mount {second}"));
    (0..16).for_each(|number| {
        let file = format!("file-{number:02}");
        let expected = if [2, 7, 12].contains(&number) { 4400 } else { 4300 } + number;
        let mut bytes = Vec::new();
        pseudo_random(expected).take(MIB).read_to_end(&mut bytes).expect("a stream without end");
        fs::write(context.join(&file), bytes).expect("a file");
        sandbox.ok(&format!("cmp {mounted}/{file} {}", context.join(&file).display()));
    });
}
