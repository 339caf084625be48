//! Volumes that registry:2 left behind, with the damage they are known to have.

mod damage;
mod export;
mod oddities;
mod referrers;

use std::fs;

use crate::support::{Client, Image, TestRegistry, Tree};

/// A volume made by hand, and then a registry over it.
struct Inherited {
    directory: tempfile::TempDir,
    tree: Tree,
}

impl Inherited {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::at(&directory.path().join("data"));
        Self { directory, tree }
    }

    fn serve(self) -> TestRegistry {
        TestRegistry::over(std::sync::Arc::new(self.directory))
    }
}

/// Pushes as docker does: what HEAD finds is not sent again.
async fn push_what_is_missing(client: &Client<'_>, repository: &str, tag: &str, image: &Image) {
    for blob in &image.blobs {
        let digest = pakhuis::oci::Digest::of(pakhuis::oci::Algorithm::Sha256, blob);
        if client.head(&format!("/v2/{repository}/blobs/{digest}")).await.status != 200 {
            client.push_blob(repository, blob).await;
        }
    }
    let reply = client.put_manifest(repository, tag, image.media_type, &image.manifest).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
}

/// Asserts that an image is served byte for byte, by tag and by digest.
#[track_caller]
fn assert_bytes(what: &str, reply: &crate::support::Reply, expected: &[u8]) {
    assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    assert!(reply.body == expected, "{what}: {} bytes instead of {}", reply.body.len(), expected.len());
}

async fn assert_pulls(client: &Client<'_>, repository: &str, tag: &str, image: &Image) {
    for reference in [tag.to_owned(), image.digest().to_string()] {
        let path = format!("/v2/{repository}/manifests/{reference}");
        assert_bytes(&path, &client.get(&path).await, &image.manifest);
    }
    for blob in &image.blobs {
        let digest = pakhuis::oci::Digest::of(pakhuis::oci::Algorithm::Sha256, blob);
        let path = format!("/v2/{repository}/blobs/{digest}");
        assert_bytes(&path, &client.get(&path).await, blob);
    }
}

/// The names in a list, `repositories` or `tags`.
async fn list(client: &Client<'_>, path: &str, key: &str) -> Vec<String> {
    let reply = client.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    serde_json::from_value(reply.json()[key].clone()).unwrap()
}

/// Every file below a directory, for comparing what a volume has before and after.
fn files(directory: &std::path::Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut to_do = vec![directory.to_path_buf()];
    while let Some(directory) = to_do.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                to_do.push(path);
            } else {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    found
}
