//! The promises of the storage, on a real directory.
#![allow(clippy::disallowed_methods, reason = "the tests damage the tree on purpose")]

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
    fn v2(&self) -> std::path::PathBuf {
        self.directory.path().join("docker/registry/v2")
    }

    fn push(&self, bytes: &'static [u8]) -> Digest {
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

    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
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
fn a_chunk_that_broke_off_and_is_sent_again_leaves_no_torn_bytes() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    volume.append(&upload, b"one ");
    // The server dies in the middle of the second chunk: its bytes are in the file, unacknowledged.
    let mut broken = volume.storage.claim_upload(&repository(), &upload).unwrap();
    broken.write(&[Bytes::from_static(b"torn torn torn")]).unwrap();
    drop(broken);
    assert_eq!(volume.storage.upload_offset(&repository(), &upload).unwrap(), 4);
    std::thread::sleep(Duration::from_millis(80));
    assert_eq!(volume.append(&upload, b"two"), 7);
    let claimed = volume.storage.claim_upload(&repository(), &upload).unwrap();
    volume.storage.commit_upload(&repository(), claimed, &sha256(b"one two"), &|_| false).unwrap();
    assert_eq!(volume.read(&sha256(b"one two")).unwrap(), b"one two");
}

#[test]
fn an_abandoned_chunk_is_cut_off() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    volume.append(&upload, b"one ");
    let mut claimed = volume.storage.claim_upload(&repository(), &upload).unwrap();
    claimed.write(&[Bytes::from_static(b"half")]).unwrap();
    volume.storage.abandon_upload(claimed);
    assert_eq!(volume.append(&upload, b"two"), 7);
    let claimed = volume.storage.claim_upload(&repository(), &upload).unwrap();
    volume.storage.commit_upload(&repository(), claimed, &sha256(b"one two"), &|_| false).unwrap();
}

#[test]
fn one_request_at_a_time_has_an_upload() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    let claimed = volume.storage.claim_upload(&repository(), &upload).unwrap();
    let second = volume.storage.claim_upload(&repository(), &upload);
    assert!(matches!(second, Err(StorageError::UploadInUse)), "{second:?}");
    volume.storage.release_upload(claimed).unwrap();
    volume.storage.claim_upload(&repository(), &upload).unwrap();
}

#[test]
fn a_slow_server_cannot_touch_an_upload_that_was_taken_over() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    volume.append(&upload, b"one ");
    let mut slow = volume.storage.claim_upload(&repository(), &upload).unwrap();
    std::thread::sleep(Duration::from_millis(80));
    let mut fast = volume.storage.claim_upload(&repository(), &upload).unwrap();
    fast.write(&[Bytes::from_static(b"two")]).unwrap();
    slow.write(&[Bytes::from_static(b"late!!!")]).unwrap();
    assert!(matches!(volume.storage.release_upload(slow), Err(StorageError::UploadInUse)));
    volume.storage.commit_upload(&repository(), fast, &sha256(b"one two"), &|_| false).unwrap();
    assert_eq!(volume.read(&sha256(b"one two")).unwrap(), b"one two");
}

#[test]
fn a_slow_server_cannot_commit_what_was_taken_over() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    let mut slow = volume.storage.claim_upload(&repository(), &upload).unwrap();
    slow.write(&[Bytes::from_static(b"slow")]).unwrap();
    std::thread::sleep(Duration::from_millis(80));
    let fast = volume.storage.claim_upload(&repository(), &upload).unwrap();
    assert!(volume.storage.commit_upload(&repository(), slow, &sha256(b"slow"), &|_| false).is_err());
    assert_eq!(volume.read(&sha256(b"slow")), None);
    volume.storage.release_upload(fast).unwrap();
}

#[test]
fn a_wrong_digest_stores_nothing_and_ends_the_upload() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    volume.append(&upload, b"good");
    let claimed = volume.storage.claim_upload(&repository(), &upload).unwrap();
    let result = volume.storage.commit_upload(&repository(), claimed, &sha256(b"other"), &|_| false);
    assert!(matches!(result, Err(StorageError::DigestMismatch { .. })));
    assert_eq!(volume.read(&sha256(b"good")), None);
    assert!(volume.storage.upload_offset(&repository(), &upload).unwrap_err().is_not_found());
}

#[test]
fn sha512_without_announcement_is_hashed_again_and_stored_natively() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    volume.append(&upload, b"long hash");
    let digest = Digest::of(Algorithm::Sha512, b"long hash");
    let claimed = volume.storage.claim_upload(&repository(), &upload).unwrap();
    volume.storage.commit_upload(&repository(), claimed, &digest, &|_| false).unwrap();
    assert!(
        volume
            .v2()
            .join(format!("blobs/sha512/{}/{}/data", &digest.encoded()[..2], digest.encoded()))
            .is_file()
    );
    assert_eq!(volume.storage.blob_size(&repository(), &digest).unwrap(), Some(9));
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

#[test]
fn deleting_a_tag_leaves_nothing_listed_and_spares_what_moved() {
    let volume = volume();
    let (old, new) = (sha256(b"old"), sha256(b"new"));
    let tag: Tag = "v1".parse().unwrap();
    volume.storage.write_tag(&repository(), &tag, &old).unwrap();
    volume.storage.write_tag(&repository(), &tag, &new).unwrap();
    volume.storage.delete_tag_if(&repository(), &tag, &old).unwrap();
    assert_eq!(volume.storage.read_tag(&repository(), &tag).unwrap(), Some(new.clone()));
    volume.storage.delete_tag_if(&repository(), &tag, &new).unwrap();
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
    assert!(!volume.storage.delete_tag(&repository(), &tag).unwrap());
    volume.storage.write_tag(&repository(), &tag, &old).unwrap();
    assert!(volume.storage.delete_tag(&repository(), &tag).unwrap());
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
}

#[test]
fn tags_deleted_and_written_at_once_stay_whole() {
    let volume = volume();
    let tag: Tag = "contested".parse().unwrap();
    let digests: Vec<Digest> = (0..4_u8).map(|i| sha256(&[i])).collect();
    std::thread::scope(|scope| {
        for digest in &digests {
            let (storage, tag) = (&volume.storage, &tag);
            scope.spawn(move || {
                for _ in 0..50 {
                    storage.write_tag(&repository(), tag, digest).unwrap();
                    storage.delete_tag_if(&repository(), tag, digest).unwrap();
                    let _ = storage.delete_tag(&repository(), tag).unwrap();
                }
            });
        }
    });
    volume.storage.write_tag(&repository(), &tag, &digests[0]).unwrap();
    assert_eq!(volume.storage.read_tag(&repository(), &tag).unwrap().as_ref(), Some(&digests[0]));
}

#[test]
fn repositories_are_listed_by_components_and_by_page() {
    let volume = volume();
    for name in ["a", "a/b", "a-b", "ab", "z/y/x"] {
        volume.storage.ensure_repository(&name.parse().unwrap()).unwrap();
        let layers = volume.v2().join("repositories").join(name).join("_layers");
        assert!(layers.is_dir(), "without it registry:2 deletes the data of {name}");
    }
    let list = |last, limit| -> Vec<String> {
        volume.storage.list_repositories(last, limit).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(list(None, 10), ["a", "a/b", "a-b", "ab", "z/y/x"]);
    assert_eq!(list(None, 2), ["a", "a/b"]);
    assert_eq!(list(Some("a/b"), 2), ["a-b", "ab"]);
    assert_eq!(list(Some("a/a"), 9), ["a/b", "a-b", "ab", "z/y/x"]);
    assert_eq!(list(Some("z"), 9), ["z/y/x"]);
    assert_eq!(list(Some("z/y/x"), 9), [""; 0]);
}

#[test]
fn finds_either_tree_and_refuses_two() {
    let directory = TempDir::new().unwrap();
    fs::create_dir_all(directory.path().join("v2/blobs")).unwrap();
    let storage = Storage::open(Config::new(directory.path())).unwrap();
    assert_eq!(storage.directory(), directory.path().join("v2"));
    fs::create_dir_all(directory.path().join("docker/registry/v2/repositories")).unwrap();
    assert!(matches!(Storage::open(Config::new(directory.path())), Err(OpenError::TwoTrees { .. })));
}

#[test]
fn an_unmounted_share_is_not_a_new_registry() {
    let (local, volume) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut config = Config::new(volume.path().join("registry"));
    config.remembered_roots = Some(local.path().join("roots"));
    Storage::open(config.clone()).unwrap();
    Storage::open(config.clone()).unwrap();
    fs::remove_dir_all(volume.path().join("registry")).unwrap();
    assert!(matches!(Storage::open(config.clone()), Err(OpenError::LooksUnmounted { .. })));
    assert!(!volume.path().join("registry").exists(), "nothing was made");
}

#[test]
fn a_tree_that_lost_a_part_is_refused() {
    let volume = volume();
    fs::remove_dir_all(volume.v2().join("repositories")).unwrap();
    let opened = Storage::open(Config::new(volume.directory.path()));
    assert!(matches!(opened, Err(OpenError::Incomplete { missing: "repositories", .. })));
}

#[test]
fn a_secret_is_made_once() {
    let volume = volume();
    let first = volume.storage.shared_secret("key").unwrap();
    assert_eq!(volume.storage.shared_secret("key").unwrap(), first);
    assert_ne!(volume.storage.shared_secret("other").unwrap(), first);
}

#[test]
fn a_commit_that_fails_can_be_tried_again() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    volume.append(&upload, b"again");
    // Something that is no directory stands where the blob belongs.
    let digest = sha256(b"again");
    let shard = volume.v2().join(format!("blobs/sha256/{}", &digest.encoded()[..2]));
    fs::create_dir_all(shard.parent().unwrap()).unwrap();
    fs::write(&shard, b"").unwrap();
    let claimed = volume.storage.claim_upload(&repository(), &upload).unwrap();
    assert!(volume.storage.commit_upload(&repository(), claimed, &digest, &|_| false).is_err());
    assert_eq!(volume.storage.upload_offset(&repository(), &upload).unwrap(), 5);
    fs::remove_file(&shard).unwrap();
    let claimed = volume.storage.claim_upload(&repository(), &upload).unwrap();
    volume.storage.commit_upload(&repository(), claimed, &digest, &|_| false).unwrap();
    assert_eq!(volume.read(&digest).unwrap(), b"again");
}

#[test]
fn a_share_that_goes_away_is_an_error_and_nothing_is_written_elsewhere() {
    let volume = volume();
    let digest = volume.push(b"there");
    let (root, away) = (volume.directory.path().join("docker"), volume.directory.path().join("away"));
    fs::rename(&root, &away).unwrap();
    let tag: Tag = "v1".parse().unwrap();
    assert!(matches!(volume.storage.blob_size(&repository(), &digest), Err(StorageError::Io { .. })));
    assert!(matches!(volume.storage.read_tag(&repository(), &tag), Err(StorageError::Io { .. })));
    assert!(matches!(volume.storage.list_tags(&repository()), Err(StorageError::Io { .. })));
    assert!(volume.storage.start_upload(&repository(), Algorithm::Sha256).is_err());
    assert!(volume.storage.write_tag(&repository(), &tag, &digest).is_err());
    assert!(volume.storage.write_content(&digest, b"there").is_err());
    assert!(volume.storage.check_writable().is_err());
    assert!(!root.exists(), "nothing was made where the share was");
    fs::rename(&away, &root).unwrap();
    assert_eq!(volume.storage.blob_size(&repository(), &digest).unwrap(), Some(5));
}

#[test]
fn a_ghost_of_a_tag_is_no_tag_and_deleting_it_takes_it_off_the_list() {
    let volume = volume();
    let tag: Tag = "ghost".parse().unwrap();
    fs::create_dir_all(volume.v2().join("repositories/team/app/_manifests/tags/ghost/current")).unwrap();
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![tag.clone()]));
    assert!(!volume.storage.delete_tag(&repository(), &tag).unwrap());
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
}

#[test]
fn an_idle_upload_that_is_claimed_is_not_taken_for_dead() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    std::thread::sleep(Duration::from_millis(80));
    let claimed = volume.storage.claim_upload(&repository(), &upload).unwrap();
    assert!(matches!(volume.storage.claim_upload(&repository(), &upload), Err(StorageError::UploadInUse)));
    volume.storage.release_upload(claimed).unwrap();
}

/// A delete of `digest` that dies with the link of the tag taken aside.
fn die_with_the_link_aside(volume: &Volume, tag: &Tag) {
    let current = volume.v2().join(format!("repositories/team/app/_manifests/tags/{tag}/current"));
    fs::rename(current.join("link"), current.join(format!(".deleted.{}", uuid::Uuid::new_v4().simple())))
        .unwrap();
}

#[test]
fn a_delete_that_died_with_a_tag_in_its_hands_loses_no_move_of_it() {
    let volume = volume();
    let (old, new) = (sha256(b"old"), sha256(b"new"));
    let tag: Tag = "v1".parse().unwrap();
    let read = || volume.storage.read_tag(&repository(), &tag).unwrap();
    // The delete was of `old`; a push had just moved the tag to `new`, and was told so.
    volume.storage.write_tag(&repository(), &tag, &new).unwrap();
    die_with_the_link_aside(&volume, &tag);
    assert_eq!(read(), Some(new.clone()));
    assert_eq!(volume.storage.read_tag_link(&repository(), &tag).unwrap().unwrap().digest, new);
    // The tag moves on; what was taken aside counts no more, also once the tag is deleted either way.
    volume.storage.write_tag(&repository(), &tag, &old).unwrap();
    assert_eq!(read(), Some(old.clone()));
    assert!(volume.storage.delete_tag(&repository(), &tag).unwrap());
    assert_eq!(read(), None);
    volume.storage.write_tag(&repository(), &tag, &new).unwrap();
    die_with_the_link_aside(&volume, &tag);
    volume.storage.write_tag(&repository(), &tag, &old).unwrap();
    volume.storage.delete_tag_if(&repository(), &tag, &old).unwrap();
    assert_eq!(read(), None);
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
}

#[test]
fn a_tag_whose_link_is_aside_is_deleted_like_any_other() {
    let volume = volume();
    let digest = sha256(b"manifest");
    let tag: Tag = "v1".parse().unwrap();
    volume.storage.write_tag(&repository(), &tag, &digest).unwrap();
    die_with_the_link_aside(&volume, &tag);
    assert!(volume.storage.delete_tag(&repository(), &tag).unwrap());
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
    volume.storage.write_tag(&repository(), &tag, &digest).unwrap();
    die_with_the_link_aside(&volume, &tag);
    volume.storage.delete_tag_if(&repository(), &tag, &digest).unwrap();
    assert_eq!(volume.storage.list_tags(&repository()).unwrap(), Some(vec![]));
}

#[test]
fn an_upload_given_back_between_two_looks_is_claimed_not_unknown() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    // Old enough to be taken for one whose bytes a takeover lost.
    std::thread::sleep(Duration::from_millis(80));
    let claim = volume.storage.layout.upload(&repository(), &upload).join("data.ours");
    volume.storage.take_over(&repository(), &upload, &claim).unwrap();
    assert!(claim.is_file());
}
