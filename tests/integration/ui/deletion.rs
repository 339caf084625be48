//! Deleting while others push: nothing goes that nobody was asked about.

use std::time::Duration;

use http::StatusCode;
use pakhuis::oci::{Digest, Reference, RepositoryName, Tag};
use serde_json::{Value, json};

use super::{
    actions::{confirm, is_there, send},
    browser::{Browser, pages},
    sample::{INDEX, Sample},
};

const APP: &str = "team/app";

fn digest_of(descriptor: &Value) -> Digest {
    descriptor["digest"].as_str().unwrap().parse().unwrap()
}

/// Points a tag at what is there, by another server.
async fn move_tag(sample: &Sample, tag: &str, digest: &Digest) {
    let (other, name) = (sample.other_server(), APP.parse().unwrap());
    let reference = Reference::Digest(digest.clone());
    let manifest = other.manifest(&name, &reference).await.unwrap();
    let tags = [tag.parse().unwrap()];
    other.put_manifest(&name, &reference, &tags, None, manifest.bytes, drop).await.unwrap();
}

async fn index(sample: &Sample, tag: &str, children: &[&Value]) -> Value {
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
    sample.manifest(APP, Some(tag), &index).await
}

fn delete_path(descriptor: &Value) -> String {
    format!("/ui/-/delete?repository={APP}&digest={}", digest_of(descriptor))
}

#[tokio::test]
async fn a_tag_that_another_server_moved_onto_an_image_saves_it() {
    let sample = Sample::empty();
    let image = sample.image(APP, Some("v1"), "amd64", "one", json!({})).await;
    sample.image(APP, Some("v2"), "amd64", "two", json!({})).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let fields = confirm(&mut browser, &delete_path(&image), "/ui/-/delete").await;
    // The names are as before, so this server does not know yet.
    move_tag(&sample, "v2", &digest_of(&image)).await;
    let answer = send(&mut browser, "/ui/-/delete", &fields).await;
    let page = browser.get(answer.location()).await.text;
    assert!(page.contains("Nothing was done"), "{page}");
    for tag in ["v1", "v2"] {
        assert!(is_there(&sample, APP, tag).await, "{tag}");
    }
}

#[tokio::test]
async fn a_tag_that_another_server_moved_onto_a_part_saves_that() {
    let sample = Sample::empty();
    let parts = [
        sample.image(APP, None, "amd64", "part", json!({})).await,
        sample.image(APP, None, "arm64", "part", json!({})).await,
    ];
    let whole = index(&sample, "multi", &[&parts[0], &parts[1]]).await;
    sample.image(APP, Some("v2"), "amd64", "two", json!({})).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let fields = confirm(&mut browser, &delete_path(&whole), "/ui/-/delete").await;
    move_tag(&sample, "v2", &digest_of(&parts[0])).await;
    let answer = send(&mut browser, "/ui/-/delete", &fields).await;
    let page = browser.get(answer.location()).await.text;
    assert!(is_there(&sample, APP, "v2").await, "{page}");
    assert!(page.contains("Nothing was done") || page.contains("1 manifest got another name"), "{page}");
}

#[tokio::test]
async fn an_index_that_came_since_the_question_keeps_its_parts() {
    let sample = Sample::empty();
    let part = sample.image(APP, None, "amd64", "part", json!({})).await;
    let whole = index(&sample, "multi", &[&part]).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let fields = confirm(&mut browser, &delete_path(&whole), "/ui/-/delete").await;
    let another =
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [part], "annotations": { "a": "b" } });
    sample.manifest(APP, Some("another"), &another).await;
    let answer = send(&mut browser, "/ui/-/delete", &fields).await;
    assert!(browser.get(answer.location()).await.text.contains("Nothing was done"));
    assert!(is_there(&sample, APP, "multi").await);
    assert!(is_there(&sample, APP, digest_of(&part).as_str()).await);
}

#[tokio::test]
async fn a_tag_pushed_while_its_manifest_is_deleted_is_never_taken() {
    let sample = Sample::empty();
    let image = digest_of(&sample.image(APP, None, "amd64", "one", json!({})).await);
    let (name, other): (RepositoryName, _) = (APP.parse().unwrap(), sample.other_server());
    let manifest = other.manifest(&name, &Reference::Digest(image.clone())).await.unwrap();
    let (mut went, mut stayed) = (0, 0);
    for round in 0..40 {
        let tag: Tag = format!("t{round}").parse().unwrap();
        let reference = Reference::Tag(tag.clone());
        let push = async {
            tokio::time::sleep(Duration::from_micros(round * 40)).await;
            other.put_manifest(&name, &reference, &[], None, manifest.bytes.clone(), drop).await
        };
        let digests = [image.clone()];
        let (pushed, deleted) =
            tokio::join!(push, sample.registry.delete_manifests_if(&name, &digests, &[], drop));
        pushed.unwrap();
        let deleted = deleted.unwrap();
        assert_eq!(deleted.untagged, []);
        assert!(other.resolve(&name, &reference).await.is_ok(), "round {round}: {deleted:?}");
        assert!(deleted.kept.is_empty() != deleted.deleted.is_empty(), "{deleted:?}");
        if deleted.kept.is_empty() {
            went += 1;
        } else {
            stayed += 1;
        }
        other.delete_tag(&name, &tag, drop).await.unwrap();
    }
    assert!(went + stayed == 40, "{went} {stayed}");
}

#[tokio::test]
async fn a_part_that_a_long_index_may_list_is_not_offered() {
    let sample = Sample::empty();
    let registry = sample.server_with(|config| config.sparse_manifests = true);
    let sample = Sample { registry, directory: sample.directory };
    let part = sample.image(APP, None, "amd64", "part", json!({})).await;
    let short = index(&sample, "short", &[&part]).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    assert!(browser.get(&delete_path(&short)).await.text.contains("1 manifest that only it lists"));
    let absent: Vec<Value> = (0..500)
        .map(|number| {
            json!({ "mediaType": part["mediaType"], "digest": format!("sha256:{number:064}"), "size": 2 })
        })
        .collect();
    let all: Vec<&Value> = absent.iter().chain([&part]).collect();
    index(&sample, "long", &all).await;
    let page = browser.get(&delete_path(&short)).await.text;
    assert!(!page.contains("that only it lists") && page.contains("Perhaps needed:"), "{page}");
    let page = browser.get(&delete_path(&part)).await.text;
    assert!(page.contains("Perhaps needed:") && page.contains(">long<"), "{page}");
}

#[tokio::test]
async fn a_form_has_room_for_a_thousand_tags_and_for_an_image_of_any_number() {
    let sample = Sample::empty();
    let image = sample.image(APP, Some("t0"), "amd64", "one", json!({})).await;
    let (name, reference): (RepositoryName, _) = (APP.parse().unwrap(), Reference::Digest(digest_of(&image)));
    let tags: Vec<Tag> = (1..30).map(|number| format!("t{number}").parse().unwrap()).collect();
    let bytes = sample.registry.manifest(&name, &reference).await.unwrap().bytes;
    sample.registry.put_manifest(&name, &reference, &tags, None, bytes, drop).await.unwrap();
    let mut browser = Browser::new(pages(&sample.registry, None));
    let thirty: String = (0..30).map(|number| format!("&tag=t{number}")).collect();
    let chosen = format!("/ui/-/untag?repository={APP}{thirty}");
    let mut untag = confirm(&mut browser, &chosen, "/ui/-/untag").await;
    assert_eq!(untag.len(), 3 + 30, "token, repository, typed name, and one for each tag");
    let going = untag.iter().find(|(name, _)| name == "going").unwrap().clone();
    untag.retain(|(name, _)| name != "going" && name != "typed");
    untag
        .extend((0..1000).map(|number| ("going".to_owned(), going.1.replace("t0@", &format!("x{number}@")))));
    untag.push(("typed".to_owned(), APP.to_owned()));
    let answer = send(&mut browser, "/ui/-/untag", &untag).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "the name at the end was read: {}", answer.text);

    let mut delete = confirm(&mut browser, &delete_path(&image), "/ui/-/delete").await;
    assert_eq!(delete.len(), 5, "token, repository, digest, state and typed name: {delete:?}");
    delete.retain(|(name, _)| name != "typed");
    let again = send(&mut browser, "/ui/-/delete", &delete).await;
    assert!(again.text.contains("The name was not the one asked for"), "{}", again.status);
    delete.push(("typed".to_owned(), APP.to_owned()));
    let done = send(&mut browser, "/ui/-/delete", &delete).await;
    assert!(browser.get(done.location()).await.text.contains("The image is deleted, with 30 tags"));
}

#[tokio::test]
async fn what_two_indexes_share_and_nothing_else_has_is_counted_when_both_go() {
    let sample = Sample::empty();
    let layer = sample.blob(APP, "application/x", &vec![7; 1_234_000], None).await;
    let part = sample.artifact(APP, "application/x", layer, None).await;
    let part = sample.manifest(APP, None, &part).await;
    index(&sample, "one", &[&part]).await;
    let other = sample.image(APP, None, "amd64", "other", json!({})).await;
    index(&sample, "two", &[&part, &other]).await;
    Sample::settle(&sample.registry).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let one = browser.get(&format!("/ui/-/untag?repository={APP}&tag=one")).await.text;
    assert!(one.contains("at most ") && !one.contains("at most 1.2 MB"), "{one}");
    let both = browser.get(&format!("/ui/-/untag?repository={APP}&tag=one&tag=two")).await.text;
    assert!(both.contains("at most 1.2 MB"), "{both}");
}

#[tokio::test]
async fn what_is_about_an_image_or_its_parts_is_named() {
    let sample = Sample::empty();
    let part = sample.image(APP, None, "amd64", "part", json!({})).await;
    let whole = index(&sample, "multi", &[&part]).await;
    let layer = sample.blob(APP, "application/spdx+json", b"sbom", Some("sbom.json")).await;
    let sbom = sample.artifact(APP, "application/spdx+json", layer.clone(), Some(part.clone())).await;
    sample.manifest(APP, None, &sbom).await;
    let signature =
        sample.artifact(APP, "application/vnd.dev.cosign.artifact.sig.v1+json", layer, None).await;
    let tag = |descriptor: &Value, what: &str| {
        format!("{}{what}", digest_of(descriptor).as_str().replace(':', "-"))
    };
    let tags = [tag(&whole, ".sig"), tag(&part, ".att")];
    for tag in &tags {
        sample.manifest(APP, Some(tag), &signature).await;
    }
    let mut browser = Browser::new(pages(&sample.registry, None));
    let page = browser.get(&delete_path(&whole)).await.text;
    for named in tags.iter().map(String::as_str).chain(["<li>SPDX bill of materials "]) {
        assert!(page.contains(named), "{named} in {page}");
    }
}
