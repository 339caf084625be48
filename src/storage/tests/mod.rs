//! The promises of the storage, on a real directory.
#![allow(clippy::disallowed_methods, reason = "the tests damage the tree on purpose")]

mod tags;
mod tree;
mod uploads;

use std::{fs, time::Duration};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::oci::{Algorithm, Digest, RepositoryName, Tag, UploadId};

pub(super) struct Volume {
    directory: TempDir,
    pub(super) storage: Storage,
}

pub(super) fn volume() -> Volume {
    let directory = TempDir::new().unwrap();
    let mut config = Config::new(directory.path());
    config.upload_takeover_after = Duration::from_millis(50);
    Volume { storage: Storage::open(config).unwrap(), directory }
}

pub(super) fn repository() -> RepositoryName {
    "team/app".parse().unwrap()
}

pub(super) fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

impl Volume {
    pub(super) fn v2(&self) -> std::path::PathBuf {
        self.directory.path().join("docker/registry/v2")
    }

    pub(super) fn push(&self, bytes: &'static [u8]) -> Digest {
        let upload = self.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
        let mut claimed = self.storage.claim_upload(&repository(), &upload).unwrap();
        claimed.write(&[Bytes::from_static(bytes)]).unwrap();
        self.storage.commit_upload(&repository(), claimed, &sha256(bytes), &|_| false).unwrap();
        sha256(bytes)
    }

    pub(super) fn append(&self, upload: &UploadId, bytes: &'static [u8]) -> u64 {
        let mut claimed = self.storage.claim_upload(&repository(), upload).unwrap();
        claimed.write(&[Bytes::from_static(bytes)]).unwrap();
        self.storage.release_upload(claimed).unwrap()
    }

    pub(super) fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.storage.read_content(digest, 1 << 20).unwrap()
    }
}

#[test]
fn a_blob_is_in_the_tree_of_registry_2_to_the_byte() {
    let volume = volume();
    let digest = volume.push(b"hello");
    let hex = digest.encoded();
    let data = volume.v2().join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]));
    assert_eq!(fs::read(data).unwrap(), b"hello");
    let link = volume.v2().join(format!("repositories/team/app/_layers/sha256/{hex}/link"));
    assert_eq!(fs::read_to_string(link).unwrap(), digest.as_str());
    for directory in ["_layers", "_manifests/revisions", "_manifests/tags"] {
        assert!(volume.v2().join("repositories/team/app").join(directory).is_dir(), "{directory}");
    }
    let uploads = fs::read_dir(volume.v2().join("repositories/team/app/_uploads")).unwrap().count();
    assert_eq!(uploads, 0, "the session is gone");
}

#[test]
fn the_sha512_alias_of_registry_2_is_followed() {
    let volume = volume();
    let canonical = volume.push(b"alias");
    let alias = Digest::of(Algorithm::Sha512, b"alias");
    let directory = volume.v2().join("repositories/team/app/_layers/sha512").join(alias.encoded());
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("link"), canonical.as_str()).unwrap();
    assert_eq!(volume.storage.blob_size(&repository(), &alias).unwrap(), Some(5));
}

#[test]
fn a_blob_of_the_wrong_size_is_healed_by_a_push() {
    let volume = volume();
    let digest = volume.push(b"whole");
    let data = volume.v2().join(format!("blobs/sha256/{}/{}/data", &digest.encoded()[..2], digest.encoded()));
    fs::write(&data, b"").unwrap();
    volume.push(b"whole");
    assert_eq!(fs::read(&data).unwrap(), b"whole");
}

#[test]
fn an_empty_link_counts_as_absent_and_is_healed_by_a_write() {
    let volume = volume();
    let tag: Tag = "latest".parse().unwrap();
    let digest = sha256(b"manifest");
    volume.storage.write_tag(&repository(), &tag, &digest).unwrap();
    let link = volume.v2().join("repositories/team/app/_manifests/tags/latest/current/link");
    assert_eq!(fs::read_to_string(&link).unwrap(), digest.as_str());
    fs::write(&link, b"").unwrap();
    assert_eq!(volume.storage.read_tag(&repository(), &tag).unwrap(), None);
    volume.storage.write_tag(&repository(), &tag, &digest).unwrap();
    assert_eq!(volume.storage.read_tag(&repository(), &tag).unwrap(), Some(digest));
}
