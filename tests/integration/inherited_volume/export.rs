//! `pakhuis export-referrers`, as an operator runs it before a volume goes back to registry:2.

use std::{path::Path, process::Command};

use pakhuis::oci::media_type;
use serde_json::json;

use super::{
    Inherited, assert_pulls, files, list,
    referrers::{referrers, referring},
};
use crate::support::{Image, TestRegistry, image};

const REPOSITORY: &str = "team/app";

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn export(root: &Path, flags: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pakhuis"));
    let output = command.arg("export-referrers").arg("--storage").arg(root).args(flags).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn tag(subject: &Image) -> String {
    subject.digest().as_str().replace(':', "-")
}

#[tokio::test]
async fn a_tag_lists_what_refers_and_doing_it_again_changes_nothing() {
    let registry = TestRegistry::open_to_all();
    let client = registry.anonymous();
    let subject = image(1);
    let (first, second) = (referring(2, &subject), referring(3, &subject));
    client.push(REPOSITORY, "v1", &subject).await;
    for referrer in [&first, &second] {
        client.push(REPOSITORY, referrer.digest().as_str(), referrer).await;
    }
    client.push("other", "v1", &subject).await;
    let listed = client.get(&format!("/v2/{REPOSITORY}/referrers/{}", subject.digest())).await.json();

    let root = registry.root();
    let before = files(&root);
    let dry = export(&root, &["--dry-run"]);
    assert_eq!((dry.code, dry.out), (Some(0), format!("would write {REPOSITORY}:{} 2\n", tag(&subject))));
    let contents = |files: std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        files.into_keys().filter(|path| !path.ends_with("_referrers/subjects")).collect::<Vec<_>>()
    };
    assert_eq!(contents(files(&root)), contents(before), "a dry run writes nothing");

    let ran = export(&root, &[]);
    assert_eq!((ran.code, ran.out), (Some(0), format!("written {REPOSITORY}:{} 2\n", tag(&subject))));
    assert_eq!(ran.err, "1 tag written, 0 unchanged, 0 problems\n");
    let index = client.get(&format!("/v2/{REPOSITORY}/manifests/{}", tag(&subject))).await;
    assert_eq!(index.header("content-type"), media_type::OCI_INDEX);
    assert_eq!(index.json(), listed, "the tag says what the API says");
    let again = export(&root, &[]);
    assert_eq!((again.code, again.out), (Some(0), format!("unchanged {REPOSITORY}:{} 2\n", tag(&subject))));
    assert_eq!(list(&client, "/v2/other/tags/list", "tags").await, ["v1"]);
}

#[tokio::test]
async fn what_comes_and_goes_later_is_followed_and_the_tag_can_be_deleted() {
    let registry = TestRegistry::open_to_all();
    let client = registry.anonymous();
    let subject = image(1);
    let (first, second) = (referring(2, &subject), referring(3, &subject));
    client.push(REPOSITORY, "v1", &subject).await;
    client.push(REPOSITORY, first.digest().as_str(), &first).await;
    assert_eq!(export(&registry.root(), &[]).code, Some(0));
    client.push(REPOSITORY, second.digest().as_str(), &second).await;
    assert_eq!(client.delete(&format!("/v2/{REPOSITORY}/manifests/{}", first.digest())).await.status, 202);
    assert_eq!(referrers(&client, &subject).await, [second.digest().to_string()]);
    let ran = export(&registry.root(), &[]);
    assert_eq!((ran.code, ran.out), (Some(0), format!("written {REPOSITORY}:{} 1\n", tag(&subject))));
    let index = client.get(&format!("/v2/{REPOSITORY}/manifests/{}", tag(&subject))).await.json();
    assert_eq!(index["manifests"][0]["digest"], second.digest().as_str());
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);

    let path = format!("/v2/{REPOSITORY}/manifests/{}", tag(&subject));
    assert_eq!(client.delete(&path).await.status, 202);
    assert_eq!(list(&client, &format!("/v2/{REPOSITORY}/tags/list"), "tags").await, ["v1"]);
    assert_eq!(referrers(&client, &subject).await, [second.digest().to_string()]);
    assert_pulls(&client, REPOSITORY, "v1", &subject).await;
}

#[tokio::test]
async fn a_tag_that_clients_of_registry_2_wrote_keeps_its_entries() {
    let inherited = Inherited::new();
    let subject = image(1);
    let (listed, unlisted) = (referring(2, &subject), referring(3, &subject));
    for image in [&subject, &listed, &unlisted] {
        inherited.tree.add_image(REPOSITORY, None, image);
    }
    // A client attached this one to the tag alone: it names no subject.
    let attached = image(4);
    inherited.tree.add_image(REPOSITORY, None, &attached);
    let descriptor = |image: &Image| json!({ "mediaType": image.media_type, "digest": image.digest().as_str(), "size": image.manifest.len() });
    let fallback = crate::support::index(&[descriptor(&listed), descriptor(&attached)]);
    inherited.tree.add_image(REPOSITORY, Some(&tag(&subject)), &fallback);
    let registry = inherited.serve();
    let mut expected = [&listed, &unlisted, &attached].map(|image| image.digest().to_string());
    expected.sort_unstable();
    assert_eq!(referrers(&registry.anonymous(), &subject).await, expected);
    let ran = export(&registry.root(), &[]);
    assert_eq!((ran.code, ran.out), (Some(0), format!("written {REPOSITORY}:{} 3\n", tag(&subject))));
}

#[tokio::test]
async fn a_tag_that_names_something_else_is_left_alone() {
    let registry = TestRegistry::open_to_all();
    let client = registry.anonymous();
    let subject = image(1);
    let referrer = referring(2, &subject);
    client.push(REPOSITORY, &tag(&subject), &subject).await;
    client.push(REPOSITORY, "signature", &referrer).await;
    let ran = export(&registry.root(), &[]);
    assert_eq!(ran.code, Some(3));
    assert_eq!(
        ran.out,
        format!("left alone, the tag names something else: {REPOSITORY}:{} 1\n", tag(&subject))
    );
    assert_pulls(&client, REPOSITORY, &tag(&subject), &subject).await;
}

#[test]
fn a_directory_without_a_registry_is_refused_and_stays_empty() {
    let directory = tempfile::tempdir().unwrap();
    let ran = export(directory.path(), &[]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("there is no registry in"), "{}", ran.err);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    assert_eq!(export(directory.path(), &["--no-such-flag"]).code, Some(2));
}
