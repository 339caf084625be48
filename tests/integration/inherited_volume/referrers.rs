//! Referrers on a volume that another registry wrote, or whose index of them was lost.

use std::{fs, time::Instant};

use pakhuis::oci::Digest;
use serde_json::json;

use super::Inherited;
use crate::support::{Client, Image, TestRegistry, Tree, image};

const REPOSITORY: &str = "team/app";

/// An image that names another as its subject.
pub(super) fn referring(seed: u8, subject: &Image) -> Image {
    image(seed).with(&json!({
        "artifactType": "application/vnd.example.signature",
        "annotations": { "org.example.seed": seed.to_string() },
        "subject": {
            "mediaType": subject.media_type, "digest": subject.digest().as_str(), "size": subject.manifest.len()
        },
    }))
}

pub(super) async fn referrers(client: &Client<'_>, subject: &Image) -> Vec<String> {
    let reply = client.get(&format!("/v2/{REPOSITORY}/referrers/{}", subject.digest())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let listed = reply.json()["manifests"].as_array().unwrap().clone();
    listed.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

fn sorted(images: &[&Image]) -> Vec<String> {
    let mut digests: Vec<_> = images.iter().map(|image| image.digest().to_string()).collect();
    digests.sort_unstable();
    digests
}

fn referrer_link(tree: &Tree, subject: &Digest, referrer: &Digest) -> std::path::PathBuf {
    let root = tree.repository(REPOSITORY).join("_referrers/sha256");
    root.join(subject.encoded()).join("sha256").join(referrer.encoded()).join("link")
}

#[tokio::test]
async fn what_registry_2_took_in_is_listed_and_recorded() {
    let inherited = Inherited::new();
    let (subject, first, second) = (image(1), referring(2, &image(1)), referring(3, &image(1)));
    inherited.tree.add_image(REPOSITORY, Some("v1"), &subject);
    inherited.tree.add_image(REPOSITORY, Some("signature"), &first);
    inherited.tree.add_image(REPOSITORY, None, &second);
    let registry = inherited.serve();
    assert_eq!(referrers(&registry.anonymous(), &subject).await, sorted(&[&first, &second]));
    assert_eq!(referrers(&registry.anonymous(), &first).await, sorted(&[]));
    for referrer in [&first, &second] {
        let link = referrer_link(&registry.tree(), &subject.digest(), &referrer.digest());
        assert_eq!(fs::read_to_string(link).unwrap(), referrer.digest().as_str());
    }
}

#[tokio::test]
async fn a_lost_index_is_made_again_while_it_runs_and_after() {
    let registry = TestRegistry::open_to_all();
    let (subject, referrer) = (image(1), referring(2, &image(1)));
    registry.anonymous().push(REPOSITORY, "v1", &subject).await;
    registry.anonymous().push(REPOSITORY, "signature", &referrer).await;
    let index = registry.tree().repository(REPOSITORY).join("_referrers");
    fs::remove_dir_all(&index).unwrap();
    assert_eq!(referrers(&registry.anonymous(), &subject).await, sorted(&[&referrer]));
    assert!(index.join("subjects").is_file());
    fs::remove_dir_all(&index).unwrap();
    assert_eq!(referrers(&registry.anonymous(), &subject).await, sorted(&[&referrer]), "from memory");
    let registry = TestRegistry::over(registry.stop());
    assert_eq!(referrers(&registry.anonymous(), &subject).await, sorted(&[&referrer]));
    assert!(index.join("subjects").is_file());
    assert!(referrer_link(&registry.tree(), &subject.digest(), &referrer.digest()).is_file());
    fs::write(index.join("subjects"), b"damaged").unwrap();
    let registry = TestRegistry::over(registry.stop());
    assert_eq!(referrers(&registry.anonymous(), &subject).await, sorted(&[&referrer]));
}

#[tokio::test]
async fn what_registry_2_takes_in_and_deletes_between_two_turns_of_ours_counts() {
    let registry = TestRegistry::open_to_all();
    let subject = image(1);
    let (kept, deleted, back) = (referring(2, &subject), referring(3, &subject), referring(4, &subject));
    let client = registry.anonymous();
    client.push(REPOSITORY, "v1", &subject).await;
    for (tag, referrer) in [("kept", &kept), ("deleted", &deleted), ("back", &back)] {
        client.push(REPOSITORY, tag, referrer).await;
    }
    assert_eq!(referrers(&client, &subject).await, sorted(&[&kept, &deleted, &back]));
    // Ours deletes one, and that one is pushed to registry:2 later.
    assert_eq!(client.delete(&format!("/v2/{REPOSITORY}/manifests/{}", back.digest())).await.status, 202);
    assert_eq!(referrers(&client, &subject).await, sorted(&[&kept, &deleted]));

    let directory = registry.stop();
    let tree = Tree::at(&directory.path().join("data"));
    let new = referring(5, &subject);
    tree.add_image(REPOSITORY, None, &new);
    tree.add_image(REPOSITORY, Some("back"), &back);
    tree.delete_manifest(REPOSITORY, &deleted.digest());
    fs::remove_dir_all(tree.data(&deleted.digest()).parent().unwrap()).unwrap();

    let registry = TestRegistry::over(directory);
    let client = registry.anonymous();
    assert!(referrer_link(&registry.tree(), &subject.digest(), &deleted.digest()).is_file(), "a stale link");
    assert_eq!(referrers(&client, &subject).await, sorted(&[&kept, &new, &back]));
    // And what the collection took comes back by a push.
    client.push(REPOSITORY, "deleted", &deleted).await;
    assert_eq!(referrers(&client, &subject).await, sorted(&[&kept, &new, &back, &deleted]));
}

#[tokio::test]
async fn a_damaged_manifest_hides_no_other_and_is_listed_when_healed() {
    let inherited = Inherited::new();
    let (subject, good, bad) = (image(1), referring(2, &image(1)), referring(3, &image(1)));
    for image in [&subject, &good, &bad] {
        inherited.tree.add_image(REPOSITORY, None, image);
    }
    fs::write(inherited.tree.data(&bad.digest()), b"").unwrap();
    let registry = inherited.serve();
    let client = registry.anonymous();
    assert_eq!(referrers(&client, &subject).await, sorted(&[&good]));
    client.push(REPOSITORY, "healed", &bad).await;
    assert_eq!(referrers(&client, &subject).await, sorted(&[&good, &bad]));
}

#[tokio::test]
async fn a_large_repository_is_read_once_and_not_again_by_the_next_server() {
    const MANIFESTS: usize = 1500;
    let inherited = Inherited::new();
    let (subject, referrer) = (image(1), referring(2, &image(1)));
    inherited.tree.add_image(REPOSITORY, Some("v1"), &subject);
    inherited.tree.add_image(REPOSITORY, None, &referrer);
    for number in 0..MANIFESTS {
        let mut other = image(1).with(&json!({ "annotations": { "number": number.to_string() } }));
        other.blobs.clear();
        inherited.tree.add_image(REPOSITORY, None, &other);
    }
    let registry = inherited.serve();
    let started = Instant::now();
    assert_eq!(referrers(&registry.anonymous(), &subject).await, sorted(&[&referrer]));
    let first = started.elapsed();
    // With the contents gone only what was kept can answer: nothing is read again.
    let directory = registry.stop();
    let tree = Tree::at(&directory.path().join("data"));
    for shard in fs::read_dir(tree.v2().join("blobs/sha256")).unwrap() {
        for content in fs::read_dir(shard.unwrap().path()).unwrap() {
            let path = content.unwrap().path();
            if !path.ends_with(referrer.digest().encoded()) {
                fs::remove_dir_all(path).unwrap();
            }
        }
    }
    // A busy machine may hold up one of them, but hardly each.
    let mut later = Vec::new();
    for _ in 0..5 {
        let registry = TestRegistry::over(directory.clone());
        let started = Instant::now();
        assert_eq!(referrers(&registry.anonymous(), &subject).await, sorted(&[&referrer]));
        later.push(started.elapsed());
    }
    assert!(later.iter().any(|later| *later * 3 < first), "{MANIFESTS} manifests: {first:?}, then {later:?}");
}
