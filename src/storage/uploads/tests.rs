//! What must hold of a claim whatever becomes of the server that has it.
#![allow(clippy::disallowed_methods, reason = "the tests make uploads as registry:2 leaves them")]

use std::{
    fs::{self, File},
    io::{Read, pipe},
    os::fd::OwnedFd,
    sync::mpsc,
    thread,
    time::Duration,
};

use bytes::Bytes;

use super::*;
use crate::storage::{
    leftovers,
    tests::{Volume, repository, sha256, volume},
};

/// Longer than the takeover time of [`volume`].
const LONG: Duration = Duration::from_millis(80);

fn begin(volume: &Volume) -> UploadId {
    volume.storage.start_upload(&repository(), Algorithm::Sha256).unwrap()
}

fn claim(volume: &Volume, upload: &UploadId) -> ClaimedUpload {
    volume.storage.claim_upload(&repository(), upload).unwrap()
}

fn commit(volume: &Volume, claimed: ClaimedUpload, bytes: &[u8]) -> Result<UploadCommit, StorageError> {
    volume.storage.commit_upload(&repository(), claimed, &sha256(bytes), &|_| false)
}

#[test]
fn the_files_of_a_dropped_claim_are_closed_before_it_is_given_back() {
    let volume = volume();
    let mut claimed = claim(&volume, &begin(&volume));
    let (mut reader, writer) = pipe().unwrap();
    claimed.state = File::from(OwnedFd::from(writer.try_clone().unwrap()));
    claimed.file = File::from(OwnedFd::from(writer));
    // Who drops the claim waits for this.
    let list = leftovers::list();
    let dropping = thread::spawn(move || drop(claimed));
    let (sender, closed) = mpsc::channel();
    thread::spawn(move || sender.send(reader.read(&mut [0]).unwrap()));
    let closed = closed.recv_timeout(Duration::from_secs(10));
    drop(list);
    dropping.join().unwrap();
    assert_eq!(closed, Ok(0), "both files are closed while the claim is held");
}

#[test]
fn many_buffers_are_written_in_their_order() {
    let volume = volume();
    let mut claimed = claim(&volume, &begin(&volume));
    // More of them than the kernel takes in one call.
    let buffers: Vec<Bytes> =
        (0..2500_u32).map(|number| Bytes::from(vec![number as u8; number as usize % 7])).collect();
    claimed.write(&buffers).unwrap();
    claimed.write(&[]).unwrap();
    claimed.write(&[Bytes::from_static(b"the end")]).unwrap();
    let whole = [buffers.concat(), b"the end".to_vec()].concat();
    assert_eq!(claimed.offset(), whole.len() as u64);
    let path = claimed.claim.path().to_path_buf();
    assert!(fs::read(path).unwrap() == whole);
    commit(&volume, claimed, &whole).unwrap();
}

#[test]
fn bytes_that_another_server_replaced_are_not_acknowledged() {
    let volume = volume();
    let upload = begin(&volume);
    volume.append(&upload, b"one ");
    let mut slow = claim(&volume, &upload);
    thread::sleep(LONG);
    let fast = claim(&volume, &upload);
    assert_eq!(volume.storage.release_upload(fast).unwrap(), 4);
    slow.write(&[Bytes::from_static(b"late!!!")]).unwrap();
    assert!(matches!(volume.storage.release_upload(slow), Err(StorageError::UploadInUse)));
    assert_eq!(volume.append(&upload, b"two"), 7);
    commit(&volume, claim(&volume, &upload), b"one two").unwrap();
}

#[test]
fn an_upload_that_was_taken_over_is_not_unknown_to_who_commits_it() {
    let volume = volume();
    let upload = begin(&volume);
    let mut slow = claim(&volume, &upload);
    slow.write(&[Bytes::from_static(b"slow")]).unwrap();
    thread::sleep(LONG);
    let fast = claim(&volume, &upload);
    assert!(matches!(commit(&volume, slow, b"slow"), Err(StorageError::UploadInUse)));
    volume.storage.release_upload(fast).unwrap();
    volume.storage.cancel_upload(&repository(), &upload).unwrap();
}

#[test]
fn a_cut_that_is_not_flushed_is_known_to_the_next_claim() {
    let volume = volume();
    let upload = begin(&volume);
    volume.append(&upload, b"one");
    assert!(!claim_and_abandon(&volume, &upload, b""), "nothing to cut");
    assert!(!claim_and_abandon(&volume, &upload, b"torn"), "nothing to cut yet");
    assert!(claim_and_abandon(&volume, &upload, b""), "a torn tail");
    let mut claimed = claim(&volume, &upload);
    assert!(claimed.is_cut, "the cut of a claim that did nothing else");
    claimed.flush().unwrap();
    assert!(!claimed.is_cut);
    commit(&volume, claimed, b"one").unwrap();
}

/// Whether the claim had cut the file.
fn claim_and_abandon(volume: &Volume, upload: &UploadId, bytes: &'static [u8]) -> bool {
    let mut claimed = claim(volume, upload);
    let is_cut = claimed.is_cut;
    claimed.write(&[Bytes::from_static(bytes)]).unwrap();
    volume.storage.abandon_upload(claimed);
    is_cut
}

#[test]
fn on_nfs_a_record_that_cannot_be_flushed_is_an_error() {
    let volume = volume();
    let upload = begin(&volume);
    let mut claimed = claim(&volume, &upload);
    // Takes every write, and refuses to be flushed.
    claimed.state = File::options().write(true).open("/dev/null").unwrap();
    claimed.acknowledge(false).unwrap();
    assert!(matches!(claimed.acknowledge(true), Err(StorageError::Io { operation: "flush", .. })));
    volume.storage.abandon_upload(claimed);
}

#[test]
fn the_record_of_an_upload_of_registry_2_is_made_once() {
    let volume = volume();
    let upload = begin(&volume);
    let directory = volume.storage.layout.upload(&repository(), &upload);
    fs::remove_file(directory.join(STATE)).unwrap();
    assert_eq!(volume.append(&upload, b"one"), 3);
    // A slow server comes with its own.
    let mine = Record::empty(Algorithm::Sha256).encode_alone();
    atomic_file::put_if_absent(&directory, STATE, &mine).unwrap();
    assert_eq!(volume.storage.upload_offset(&repository(), &upload).unwrap(), 3);
    let names = lookup::names(volume.storage.layout.v2(), &directory).unwrap().unwrap();
    assert_eq!(names.len(), 3, "no temporary file stays: {names:?}");
}
