//! What clients do to a registry in a turn: push, mount, move, delete, and leave something unfinished.

use std::fs;

use reqwest::Method;

use crate::support::{Api, Blob, ImageSpec, Layout, TestServer, program, run, sha256};

/// Something that was pushed: where to ask for it afterwards, whether it is still there or not.
#[derive(Clone, Debug)]
pub(super) enum Known {
    Manifest { repository: String, digest: String },
    Blob { repository: String, digest: String },
}

/// Images, an index of two platforms by skopeo, one image in two repositories with its blobs mounted, a repository
/// below another one, a tag that moves, a manifest and a blob that are deleted again, an untagged manifest, and an
/// upload that is abandoned. Gives everything that was ever pushed.
pub(super) async fn fill(server: &TestServer, prefix: &str) -> Vec<Known> {
    let api = Api::new(server);
    let directory = tempfile::tempdir_in(server.directory()).expect("a directory");
    let layout = Layout::create(directory.path());
    let seed: u64 = prefix.bytes().map(u64::from).sum();
    let image = |number: u64, layers, bytes| layout.add_image(ImageSpec::new(seed + number, layers, bytes));
    let (app, small, empty) = (image(1, 5, 40_000), image(2, 1, 1), image(3, 0, 0));
    let arm = layout.add_image(ImageSpec { architecture: "arm64", ..ImageSpec::new(seed + 4, 2, 20_000) });

    let places = [
        ("team/app", "v1", &app),
        ("team/app", "doomed", &small),
        ("team/app", "empty", &empty),
        ("team/app", "moving", &app),
        ("team/app", "moving", &arm),
        ("other/below", "v1", &small),
        ("other/below", "same", &small),
    ];
    let mut known = Vec::new();
    for (repository, tag, image) in places {
        let repository = format!("{prefix}/{repository}");
        api.push_image(&repository, tag, &layout, image).await;
        known.extend(everything(&repository, &layout, image));
    }
    let (from, to) = (format!("{prefix}/team/app"), format!("{prefix}/other"));
    mount_image(&api, &from, &to, &layout, &app).await;
    known.extend(everything(&to, &layout, &app));
    api.push_image(&to, &empty.digest, &layout, &empty).await;
    known.extend(everything(&to, &layout, &empty));

    let index = layout.add_index(&[(app.clone(), "amd64"), (arm.clone(), "arm64")]);
    layout.tag(&index, "multi");
    copy_by_skopeo(server, &layout, "multi", &format!("{from}:multi"));
    known.extend([everything(&from, &layout, &app), everything(&from, &layout, &arm)].concat());
    known.push(Known::Manifest { repository: from.clone(), digest: index.digest });

    delete_manifest(&api, &from, "doomed").await;
    let unwanted = b"a blob that no manifest names".to_vec();
    let digest = sha256(&unwanted);
    upload(&api, &from, &digest, unwanted).await;
    delete(&api, &format!("/v2/{from}/blobs/{digest}")).await;
    known.push(Known::Blob { repository: from.clone(), digest });
    let abandoned = api.send(Method::POST, &format!("/v2/{from}/blobs/uploads/")).await.expect("an answer");
    assert_eq!(abandoned.status, 202, "{:?}", abandoned.body);
    known
}

/// An image and what it is made of.
fn everything(repository: &str, layout: &Layout, image: &Blob) -> Vec<Known> {
    let repository = repository.to_owned();
    let blob = |part: &Blob| Known::Blob { repository: repository.clone(), digest: part.digest.clone() };
    let mut known: Vec<_> = layout.parts(image).iter().map(blob).collect();
    known.push(Known::Manifest { repository, digest: image.digest.clone() });
    known
}

/// Pushes an image whose blobs are in another repository, without sending them again.
async fn mount_image(api: &Api, from: &str, to: &str, layout: &Layout, image: &Blob) {
    for part in layout.parts(image) {
        let path = format!("/v2/{to}/blobs/uploads/?mount={}&from={from}", part.digest);
        let mounted = api.send(Method::POST, &path).await.expect("an answer");
        assert_eq!(mounted.status, 201, "{path}: {:?}", mounted.body);
    }
    api.push_manifest(to, "v1", layout, image).await;
}

#[track_caller]
fn copy_by_skopeo(server: &TestServer, layout: &Layout, tag: &str, name: &str) {
    let trust = tempfile::tempdir().expect("a directory");
    fs::copy(server.ca_certificate(), trust.path().join("ca.crt")).expect("a copy");
    let mut command = program("skopeo", "skopeo");
    command.args(["copy", "--quiet", "--all", "--preserve-digests", "--dest-cert-dir"]).arg(trust.path());
    command.arg(format!("--dest-creds={}:{}", server.username(), server.password()));
    command.arg(format!("oci:{}:{tag}", layout.directory().display()));
    run(command.arg(format!("docker://{}/{name}", server.host_port())));
}

/// Uploads a blob; it must be acknowledged.
pub(super) async fn upload(api: &Api, repository: &str, digest: &str, bytes: Vec<u8>) {
    let pushed = api.upload(repository, digest, bytes).await.expect("an answer");
    assert_eq!(pushed.status, 201, "{repository} {digest}: {:?}", pushed.body);
}

/// Deletes what a path names; it must be acknowledged.
pub(super) async fn delete(api: &Api, path: &str) {
    let deleted = api.send(Method::DELETE, path).await.expect("an answer");
    assert_eq!(deleted.status, 202, "{path}: {:?}", deleted.body);
    assert_eq!(api.get(path).await.status, 404, "{path} after its deletion");
}

/// Deletes by digest what a tag points to.
pub(super) async fn delete_manifest(api: &Api, repository: &str, tag: &str) {
    let found = api.get(&format!("/v2/{repository}/manifests/{tag}")).await;
    assert_eq!(found.status, 200, "{repository}:{tag}");
    let digest = found.header("docker-content-digest");
    delete(api, &format!("/v2/{repository}/manifests/{digest}")).await;
}
