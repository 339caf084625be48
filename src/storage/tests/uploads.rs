//! Uploads, as servers that meet, are slow or die leave them.
#![allow(clippy::disallowed_methods, reason = "the tests damage the tree on purpose")]

use super::*;

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
fn an_idle_upload_that_is_claimed_is_not_taken_for_dead() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    std::thread::sleep(Duration::from_millis(80));
    let claimed = volume.storage.claim_upload(&repository(), &upload).unwrap();
    assert!(matches!(volume.storage.claim_upload(&repository(), &upload), Err(StorageError::UploadInUse)));
    volume.storage.release_upload(claimed).unwrap();
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

#[test]
fn an_upload_that_nobody_knows_is_removed_when_the_volume_answers_whoever_has_it() {
    let volume = volume();
    let upload = volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap();
    let held = volume.storage.claim_upload(&repository(), &upload).unwrap();
    volume.storage.discard_upload_later(&repository(), &upload);
    let uploads = volume.v2().join("repositories/team/app/_uploads");
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    // Tests beside this one tidy up too.
    while uploads.read_dir().unwrap().next().is_some() {
        assert!(std::time::Instant::now() < deadline, "the upload is left");
        Storage::tidy_up();
    }
    // The call that hung goes on.
    volume.storage.abandon_upload(held);
    assert!(uploads.read_dir().unwrap().next().is_none());
    let gone = volume.storage.claim_upload(&repository(), &upload);
    assert!(matches!(gone, Err(StorageError::NotFound)), "{gone:?}");
}
