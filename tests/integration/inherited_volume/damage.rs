//! What a crash of registry:2 leaves: never a 500, a 404 for what is not there, healed by an ordinary push, and
//! nothing else suffers.

use std::{fs, path::Path};

use pakhuis::oci::{Algorithm, Digest};

use super::{Inherited, assert_pulls, list, push_what_is_missing};
use crate::support::{Client, Image, Tree, image};

const REPOSITORY: &str = "team/app";
const BYSTANDER: &str = "team/app/below";

/// What is damaged, and what must be answered then: to GET by tag, GET by digest, GET of the second layer.
struct Damage {
    name: &'static str,
    make: fn(&Tree, &Image),
    by_tag: u16,
    by_digest: u16,
    layer: u16,
}

fn layer(image: &Image) -> Digest {
    Digest::of(Algorithm::Sha256, &image.blobs[2])
}

fn empty(path: &Path) {
    fs::write(path, b"").unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

const DAMAGES: [Damage; 16] = [
    damage("empty tag link", |tree, _| empty(&tree.tag(REPOSITORY, "v1")), 404, 200, 200),
    damage("torn tag link", |tree, _| cut(&tree.tag(REPOSITORY, "v1")), 404, 200, 200),
    damage("tag without link", |tree, _| fs::remove_file(tree.tag(REPOSITORY, "v1")).unwrap(), 404, 200, 200),
    damage(
        "tag is an empty directory",
        |tree, _| {
            let tag = tree.repository(REPOSITORY).join("_manifests/tags/v1");
            fs::remove_dir_all(&tag).unwrap();
            fs::create_dir(&tag).unwrap();
        },
        404,
        200,
        200,
    ),
    damage(
        "empty revision link",
        |tree, image| empty(&tree.revision(REPOSITORY, &image.digest())),
        404,
        404,
        200,
    ),
    damage(
        "torn revision link",
        |tree, image| cut(&tree.revision(REPOSITORY, &image.digest())),
        404,
        404,
        200,
    ),
    damage(
        "tag of a missing revision",
        |tree, image| {
            tree.delete_manifest(REPOSITORY, &image.digest());
        },
        404,
        404,
        200,
    ),
    damage(
        "manifest only in _layers",
        |tree, image| {
            // What registry:2 2.8 still serves, and its collection deletes; 3.x does not.
            let digest = image.digest();
            let link = tree.layer(REPOSITORY, &digest);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            fs::rename(tree.revision(REPOSITORY, &digest), link).unwrap();
        },
        404,
        404,
        200,
    ),
    damage("empty layer link", |tree, image| empty(&tree.layer(REPOSITORY, &layer(image))), 200, 200, 404),
    damage(
        "layer link names nothing there",
        |tree, image| {
            fs::remove_file(tree.data(&layer(image))).unwrap();
        },
        200,
        200,
        404,
    ),
    damage(
        "no layer link",
        |tree, image| fs::remove_file(tree.layer(REPOSITORY, &layer(image))).unwrap(),
        200,
        200,
        404,
    ),
    damage(
        "no blob directory",
        |tree, image| {
            fs::remove_dir_all(tree.data(&layer(image)).parent().unwrap()).unwrap();
        },
        200,
        200,
        404,
    ),
    damage("empty manifest", |tree, image| empty(&tree.data(&image.digest())), 404, 404, 200),
    damage("torn manifest", |tree, image| cut(&tree.data(&image.digest())), 404, 404, 200),
    damage(
        "manifest content missing",
        |tree, image| {
            fs::remove_file(tree.data(&image.digest())).unwrap();
        },
        404,
        404,
        200,
    ),
    damage(
        "no _layers",
        |tree, _| {
            fs::remove_dir_all(tree.repository(REPOSITORY).join("_layers")).unwrap();
        },
        200,
        200,
        404,
    ),
];

const fn damage(
    name: &'static str,
    make: fn(&Tree, &Image),
    by_tag: u16,
    by_digest: u16,
    layer: u16,
) -> Damage {
    Damage { name, make, by_tag, by_digest, layer }
}

#[tokio::test]
async fn each_known_damage_reads_as_absence_and_an_ordinary_push_heals_it() {
    for damage in &DAMAGES {
        let inherited = Inherited::new();
        let (damaged, sibling) = (image(1), image(2));
        inherited.tree.add_image(REPOSITORY, Some("v1"), &damaged);
        inherited.tree.add_image(REPOSITORY, Some("v2"), &sibling);
        inherited.tree.add_image(BYSTANDER, Some("v1"), &sibling);
        (damage.make)(&inherited.tree, &damaged);

        let registry = inherited.serve();
        let client = registry.anonymous();
        assert_answers(&client, damage, &damaged).await;
        let repositories = list(&client, "/v2/_catalog", "repositories").await;
        assert_eq!(repositories, [REPOSITORY, BYSTANDER], "{}", damage.name);
        let tags = list(&client, &format!("/v2/{REPOSITORY}/tags/list"), "tags").await;
        assert!(tags.contains(&"v2".to_owned()), "{}: {tags:?}", damage.name);
        assert_pulls(&client, BYSTANDER, "v1", &sibling).await;
        if damage.name != "no _layers" {
            assert_pulls(&client, REPOSITORY, "v2", &sibling).await;
        }

        push_what_is_missing(&client, REPOSITORY, "v1", &damaged).await;
        push_what_is_missing(&client, REPOSITORY, "v2", &sibling).await;
        assert_pulls(&client, REPOSITORY, "v1", &damaged).await;
        assert_pulls(&client, REPOSITORY, "v2", &sibling).await;
        let deleted = client.delete(&format!("/v2/{REPOSITORY}/manifests/{}", damaged.digest())).await;
        assert_eq!(deleted.status, 202, "{}", damage.name);
        let tags = list(&client, &format!("/v2/{REPOSITORY}/tags/list"), "tags").await;
        assert_eq!(tags, ["v2"], "{}", damage.name);
    }
}

async fn assert_answers(client: &Client<'_>, damage: &Damage, image: &Image) {
    let paths = [
        (format!("/v2/{REPOSITORY}/manifests/v1"), damage.by_tag),
        (format!("/v2/{REPOSITORY}/manifests/{}", image.digest()), damage.by_digest),
        (format!("/v2/{REPOSITORY}/blobs/{}", layer(image)), damage.layer),
    ];
    for (path, expected) in paths {
        assert_eq!(client.head(&path).await.status, expected, "{}: HEAD {path}", damage.name);
        assert_eq!(client.get(&path).await.status, expected, "{}: GET {path}", damage.name);
    }
    let referrers = client.get(&format!("/v2/{REPOSITORY}/referrers/{}", image.digest())).await;
    assert_eq!(referrers.status, 200, "{}", damage.name);
}

#[tokio::test]
async fn deleting_what_is_damaged_is_no_error_either() {
    for damage in &DAMAGES {
        let inherited = Inherited::new();
        let (damaged, sibling) = (image(1), image(2));
        inherited.tree.add_image(REPOSITORY, Some("v1"), &damaged);
        inherited.tree.add_image(REPOSITORY, Some("v2"), &sibling);
        (damage.make)(&inherited.tree, &damaged);
        let registry = inherited.serve();
        let client = registry.anonymous();
        for path in [
            format!("/v2/{REPOSITORY}/manifests/v1"),
            format!("/v2/{REPOSITORY}/manifests/{}", damaged.digest()),
            format!("/v2/{REPOSITORY}/blobs/{}", layer(&damaged)),
        ] {
            let status = client.delete(&path).await.status;
            assert!(matches!(status, 202 | 404), "{}: DELETE {path} answers {status}", damage.name);
            assert_eq!(client.get(&path).await.status, 404, "{}: {path}", damage.name);
        }
        let tags = list(&client, &format!("/v2/{REPOSITORY}/tags/list"), "tags").await;
        assert_eq!(tags, ["v2"], "{}", damage.name);
    }
}

#[tokio::test]
async fn a_layer_cut_short_is_replaced_by_the_next_upload_of_it() {
    let inherited = Inherited::new();
    let damaged = image(1);
    inherited.tree.add_image(REPOSITORY, Some("v1"), &damaged);
    cut(&inherited.tree.data(&layer(&damaged)));
    let registry = inherited.serve();
    let client = registry.anonymous();
    client.push(REPOSITORY, "v1", &damaged).await;
    assert_pulls(&client, REPOSITORY, "v1", &damaged).await;
}
