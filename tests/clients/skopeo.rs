//! skopeo: copies byte for byte between a layout and the registry, inspects, lists, mirrors and deletes.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::support::sandbox::{Sandbox, other_ca};
use crate::support::{Blob, ImageSpec, Layout, Options, TestServer, program};

const MIB: u64 = 1024 * 1024;

fn start() -> (TestServer, Sandbox) {
    program("skopeo", "skopeo");
    let server = TestServer::start(Options::default());
    let sandbox = Sandbox::start(&server);
    (server, sandbox)
}

fn logged_in() -> (TestServer, Sandbox) {
    let (server, sandbox) = start();
    let said = sandbox.login("skopeo", server.username(), server.password()).ok();
    assert!(said.contains("Login Succeeded"), "{said}");
    (server, sandbox)
}

/// Copies what `layout` calls `tag` to `docker://name`, with every platform and not one byte changed.
#[track_caller]
fn push(sandbox: &Sandbox, layout: &Layout, tag: &str, name: &str) {
    let source = layout.directory().display();
    sandbox.ok(&format!("skopeo copy --quiet --all --preserve-digests oci:{source}:{tag} docker://{name}"));
}

/// Copies `docker://name` into a new layout; answers a reader of its blobs.
#[track_caller]
fn pull(sandbox: &Sandbox, name: &str) -> tempfile::TempDir {
    let target = tempfile::tempdir_in(sandbox.path()).expect("a directory");
    let path = target.path().display();
    sandbox.ok(&format!("skopeo copy --quiet --all --preserve-digests docker://{name} oci:{path}:pulled"));
    target
}

#[track_caller]
fn assert_same(layout: &Layout, image: &Blob, pulled: &Path) {
    for blob in layout.parts(image).iter().chain([image]) {
        assert_same_blob(layout, blob, pulled);
    }
}

#[track_caller]
fn assert_same_blob(layout: &Layout, blob: &Blob, pulled: &Path) {
    let found = fs::read(pulled.join("blobs/sha256").join(blob.hex())).expect("a pulled blob");
    assert!(found == layout.read(blob), "{} is not what was pushed", blob.digest);
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The tags of a repository; the registry under comparison does not sort them.
#[track_caller]
fn tags(sandbox: &Sandbox, repository: &str) -> Vec<String> {
    let listed = json(&sandbox.ok(&format!("skopeo list-tags docker://{repository}")));
    let mut tags: Vec<String> = serde_json::from_value(listed["Tags"].clone()).expect("a list of tags");
    tags.sort();
    tags
}

#[test]
fn refuses_an_unknown_ca_a_wrong_password_and_no_login() {
    let (server, sandbox) = start();
    let inspect = format!("skopeo inspect docker://{}", sandbox.image("team/app:1"));
    for (user, password) in [(server.username(), "wrong"), ("nobody", server.password())] {
        sandbox.login("skopeo", user, password).refused_with(&["invalid username/password"]);
    }
    sandbox.refused(&inspect, &["unauthorized", "authentication required"]);

    let x509 = &["x509: certificate signed by unknown authority"];
    sandbox.trust(&other_ca());
    sandbox.login("skopeo", server.username(), server.password()).refused_with(x509);
    sandbox.distrust();
    sandbox.refused(&inspect, x509);

    sandbox.trust(&fs::read_to_string(server.ca_certificate()).expect("the CA"));
    sandbox.login("skopeo", server.username(), server.password()).ok();
    sandbox.refused(&inspect, &["manifest unknown", "name unknown", "not known to registry"]);
    sandbox.ok(&format!("skopeo logout {}", sandbox.registry()));
    sandbox.refused(&inspect, &["unauthorized", "authentication required"]);
}

#[test]
fn pushes_many_layers_and_pulls_them_by_tag_and_by_digest() {
    let (_server, sandbox) = logged_in();
    let directory = sandbox.path().join("layout");
    let (layout, image) = Layout::with_image(&directory, ImageSpec::new(30, 40, 100_000), "made");
    let name = sandbox.image("a/b.c/d--e/f__g:1.0");
    push(&sandbox, &layout, "made", &name);
    push(&sandbox, &layout, "made", &name);

    let inspected = json(&sandbox.ok(&format!("skopeo inspect docker://{name}")));
    assert_eq!(inspected["Digest"], image.digest);
    assert_eq!(inspected["Layers"].as_array().map(Vec::len), Some(40));
    let by_digest = sandbox.image(&format!("a/b.c/d--e/f__g@{}", image.digest));
    let raw = sandbox.run("skopeo", &["inspect", "--raw", &format!("docker://{by_digest}")]).stdout;
    assert!(raw.as_bytes() == layout.read(&image), "another manifest: {raw}");
    for reference in [&name, &by_digest] {
        assert_same(&layout, &image, pull(&sandbox, reference).path());
    }
}

#[test]
fn pushes_every_platform_of_an_index_and_pulls_one_or_all() {
    let (_server, sandbox) = logged_in();
    let layout = Layout::create(&sandbox.path().join("layout"));
    let images = ["amd64", "arm64", "ppc64le"].map(|architecture| {
        let image = layout.add_image(ImageSpec { architecture, ..ImageSpec::new(31, 3, 20_000) });
        (image, architecture)
    });
    let index = layout.add_index(&images);
    layout.tag(&index, "all");
    let name = sandbox.image("team/platforms:all");
    push(&sandbox, &layout, "all", &name);

    let pulled = pull(&sandbox, &sandbox.image(&format!("team/platforms@{}", index.digest)));
    assert_same_blob(&layout, &index, pulled.path());
    for (image, architecture) in &images {
        assert_same(&layout, image, pulled.path());
        let inspect = format!("skopeo inspect --override-arch {architecture} docker://{name}");
        assert_eq!(json(&sandbox.ok(&inspect))["Architecture"], *architecture);
    }
    let copy = sandbox.image("other/platforms:copied");
    sandbox.ok(&format!("skopeo copy --quiet --all docker://{name} docker://{copy}"));
    let copied = json(&sandbox.ok(&format!("skopeo inspect --raw docker://{copy}")));
    assert_eq!(copied["manifests"][2]["platform"]["architecture"], "ppc64le");
}

#[test]
fn converts_to_docker_schema_2_and_to_zstd() {
    let (_server, sandbox) = logged_in();
    // An image each: skopeo remembers where it has put which compression of a layer, and would reuse it.
    for (seed, options, layer_type) in [
        (32, "--format v2s2", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        (36, "--format oci --dest-compress-format zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
    ] {
        let directory = sandbox.path().join(format!("layout-{seed}"));
        let (layout, image) = Layout::with_image(&directory, ImageSpec::new(seed, 3, 50_000), "made");
        let name = sandbox.image(&format!("team/converted:{seed}"));
        sandbox
            .ok(&format!("skopeo copy --quiet {options} oci:{}:made docker://{name}", directory.display()));
        let manifest = json(&sandbox.ok(&format!("skopeo inspect --raw docker://{name}")));
        assert_eq!(manifest["layers"][0]["mediaType"], layer_type, "{options}");
        assert_eq!(manifest["config"]["digest"], layout.parts(&image)[0].digest, "{options}");
        // Every layer comes back, and skopeo compares it with its digest.
        let target = sandbox.path().join(format!("pulled-{seed}"));
        sandbox.ok(&format!("skopeo copy --quiet docker://{name} dir:{}", target.display()));
    }
}

#[test]
fn lists_mirrors_and_deletes() {
    let (_server, sandbox) = logged_in();
    for (seed, tag) in [(33, "1.0"), (34, "1.1"), (34, "latest")] {
        let directory = sandbox.path().join(format!("layout-{tag}"));
        let (layout, _) = Layout::with_image(&directory, ImageSpec::new(seed, 2, 5_000), tag);
        push(&sandbox, &layout, tag, &sandbox.image(&format!("team/app:{tag}")));
    }
    let repository = sandbox.image("team/app");
    assert_eq!(tags(&sandbox, &repository), ["1.0", "1.1", "latest"]);

    let mirror = sandbox.path().join("mirror");
    fs::create_dir(&mirror).expect("a directory");
    sandbox.ok(&format!("skopeo sync --src docker --dest dir --scoped {repository} {}", mirror.display()));
    let target = format!("{}/mirrored", sandbox.registry());
    let mirrored = mirror.join(sandbox.image("team"));
    sandbox.ok(&format!("skopeo sync --src dir --dest docker {} {target}", mirrored.display()));
    for tag in ["1.0", "1.1", "latest"] {
        let inspect = |name: &str| json(&sandbox.ok(&format!("skopeo inspect docker://{name}:{tag}")));
        assert_eq!(inspect(&format!("{target}/app"))["Digest"], inspect(&repository)["Digest"]);
    }

    // skopeo deletes the manifest behind the tag, and so every tag of it.
    sandbox.ok(&format!("skopeo delete docker://{repository}:latest"));
    assert_eq!(tags(&sandbox, &repository), ["1.0"]);
    for tag in ["1.1", "latest"] {
        sandbox.refused(&format!("skopeo inspect docker://{repository}:{tag}"), &["manifest unknown"]);
    }
    sandbox.refused(
        &format!("skopeo delete docker://{repository}:latest"),
        &["manifest unknown", "not found", "may not exist"],
    );
    assert_eq!(tags(&sandbox, &format!("{target}/app")), ["1.0", "1.1", "latest"]);
}

#[test]
fn copies_a_layer_of_one_gibibyte_byte_for_byte() {
    let (_server, sandbox) = logged_in();
    let directory = sandbox.path().join("layout");
    let (layout, image) = Layout::with_image(&directory, ImageSpec::new(35, 1, 1024 * MIB), "big");
    let name = sandbox.image("team/big:1");
    let start = Instant::now();
    push(&sandbox, &layout, "big", &name);
    println!("skopeo push of 1 GiB: {:?}", start.elapsed());
    let start = Instant::now();
    let pulled = pull(&sandbox, &name);
    println!("skopeo pull of 1 GiB: {:?}", start.elapsed());
    let layer = &layout.parts(&image)[1];
    let path = pulled.path().join("blobs/sha256").join(layer.hex());
    sandbox.ok(&format!("cmp {} {}", layout.path(layer).display(), path.display()));
}
