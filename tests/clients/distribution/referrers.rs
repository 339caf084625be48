//! Referrers on a volume that goes to a registry without them and comes back.

use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::fill::{delete_manifest, fill, upload};
use super::{Server, copy_of, start_ours};
use crate::support::{Api, Reference, TestServer, pakhuis, run, sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const REPOSITORY: &str = "first/team/app";

/// Pushes a manifest with a subject under its own digest, as signing tools do; its digest.
pub(super) async fn push_referrer(api: &Api, repository: &str, subject: &str, name: &str) -> String {
    let empty = b"{}";
    upload(api, repository, &sha256(empty), empty.to_vec()).await;
    let descriptor = json!({
        "mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(empty), "size": empty.len(),
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.example.signature.v1",
        "annotations": { "org.example.name": name },
        "config": descriptor,
        "layers": [descriptor],
        "subject": { "mediaType": MANIFEST, "digest": subject, "size": 1 },
    });
    let bytes = manifest.to_string().into_bytes();
    let digest = sha256(&bytes);
    let put = api.put_manifest(repository, &digest, MANIFEST, bytes).await.expect("an answer");
    assert_eq!(put.status, 201, "{name}: {:?}", put.body);
    digest
}

async fn listed(api: &Api, path: &str) -> Vec<String> {
    let answer = api.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
    let index: Value = serde_json::from_slice(&answer.body).expect("an index");
    let entries = index["manifests"].as_array().expect("entries").iter();
    let mut digests: Vec<_> =
        entries.map(|entry| entry["digest"].as_str().expect("a digest").to_owned()).collect();
    digests.sort_unstable();
    digests
}

fn sorted(digests: &[&String]) -> Vec<String> {
    let mut digests: Vec<_> = digests.iter().map(|digest| (*digest).clone()).collect();
    digests.sort_unstable();
    digests
}

#[track_caller]
fn export(root: &Path) -> String {
    let mut command = pakhuis();
    let output = run(command.args(["export-referrers", "--storage"]).arg(root));
    String::from_utf8(output.stdout).expect("text")
}

async fn digest_of(api: &Api, tag: &str) -> String {
    let found = api.get(&format!("/v2/{REPOSITORY}/manifests/{tag}")).await;
    assert_eq!(found.status, 200, "{tag}");
    found.header("docker-content-digest").to_owned()
}

#[tokio::test]
async fn what_they_took_in_is_listed_and_what_they_deleted_is_not() {
    for reference in Reference::ALL {
        let volume = tempfile::tempdir().expect("a volume");
        let mut ours = start_ours(volume.path());
        let api = Api::new(&ours);
        fill(&ours, "first").await;
        let subject = digest_of(&api, "v1").await;
        let list = format!("/v2/{REPOSITORY}/referrers/{subject}");
        let kept = push_referrer(&api, REPOSITORY, &subject, "kept").await;
        let deleted = push_referrer(&api, REPOSITORY, &subject, "deleted").await;
        assert_eq!(listed(&api, &list).await, sorted(&[&kept, &deleted]));
        ours.stop();

        let mut theirs = TestServer::start_reference(reference, volume.path());
        let api = Api::new(&theirs);
        assert_eq!(api.get(&list).await.status, 404, "{reference:?} has no referrers API");
        let new = push_referrer(&api, REPOSITORY, &subject, "new").await;
        let path = format!("/v2/{REPOSITORY}/manifests/{deleted}");
        assert_eq!(api.send(Method::DELETE, &path).await.expect("an answer").status, 202);
        theirs.stop();
        reference.garbage_collect(volume.path(), &[]);

        let mut ours = start_ours(volume.path());
        assert_eq!(listed(&Api::new(&ours), &list).await, sorted(&[&kept, &new]), "{reference:?}");
        ours.stop();
        // A copy that lacks the index, as a tool that knows registry:2 alone would make it.
        let index = volume.path().join("docker/registry/v2/repositories").join(REPOSITORY).join("_referrers");
        fs::remove_dir_all(&index).expect("the index of referrers");
        let mut ours = start_ours(volume.path());
        assert_eq!(listed(&Api::new(&ours), &list).await, sorted(&[&kept, &new]), "{reference:?}");
        ours.stop();
    }
}

#[tokio::test]
async fn exported_tags_are_found_by_their_clients_and_outlive_what_can_be_outlived() {
    let volume = tempfile::tempdir().expect("a volume");
    let mut ours = start_ours(volume.path());
    let api = Api::new(&ours);
    fill(&ours, "first").await;
    let (subject, multi) = (digest_of(&api, "v1").await, digest_of(&api, "multi").await);
    let signature = push_referrer(&api, REPOSITORY, &subject, "signature").await;
    let of_the_index = push_referrer(&api, REPOSITORY, &multi, "of the index").await;
    ours.stop();
    let tags = [&subject, &multi].map(|digest| digest.replace(':', "-"));
    let said = export(volume.path());
    for tag in &tags {
        assert!(said.contains(&format!("written {REPOSITORY}:{tag} 1\n")), "{said}");
    }
    assert!(!export(volume.path()).contains("written"), "a second time changes nothing");

    for reference in Reference::ALL {
        let copy = copy_of(volume.path());
        let mut theirs = TestServer::start_reference(reference, copy.path());
        let api = Api::new(&theirs);
        for (tag, referrer) in tags.iter().zip([&signature, &of_the_index]) {
            let found = listed(&api, &format!("/v2/{REPOSITORY}/manifests/{tag}")).await;
            assert_eq!(found, std::slice::from_ref(referrer), "{reference:?}");
            let manifest = api.get(&format!("/v2/{REPOSITORY}/manifests/{referrer}")).await;
            assert_eq!(sha256(&manifest.body), *referrer, "{reference:?}");
        }
        theirs.stop();
        reference.garbage_collect(copy.path(), &["-m"]);
        // 3.1 keeps what a tagged index lists. 2.8 does not, whether platforms or signatures: docs/migration.md.
        let expected = if reference == Reference::Two { 404 } else { 200 };
        theirs.restart();
        let child = format!("/v2/{REPOSITORY}/manifests/{signature}");
        assert_eq!(Api::new(&theirs).get(&child).await.status, expected, "{reference:?} -m");
        theirs.stop();

        let mut ours = Server::Ours.start(copy.path());
        let api = Api::new(&ours);
        let list = format!("/v2/{REPOSITORY}/referrers/{subject}");
        let left = if reference == Reference::Two { vec![] } else { vec![signature.clone()] };
        assert_eq!(listed(&api, &list).await, left, "{reference:?}");
        delete_manifest(&api, REPOSITORY, &tags[0]).await;
        assert_eq!(listed(&api, &list).await, left, "{reference:?}: without the tag");
        ours.stop();
        reference.garbage_collect(copy.path(), &[]);
    }
}
