//! Whether the strict file system is as strict as it says, and as lenient as a real one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use fuser::Errno;
use tempfile::TempDir;

use crate::{
    random::Random,
    strict_file_system::{
        Mount, StrictFileSystem,
        crash::{Disk, Entry, Kept, Tree},
        faults::{Effect, Fault, Operation},
    },
};

struct Mounted {
    store: StrictFileSystem,
    mount: Mount,
    // After the mount, which it holds.
    _directory: TempDir,
}

fn mounted() -> Mounted {
    let store = StrictFileSystem::new();
    let directory = TempDir::new().unwrap();
    let mount = store.mount(directory.path());
    Mounted { store, mount, _directory: directory }
}

impl Mounted {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.mount.path().join(name)
    }

    fn disk(&self) -> Disk {
        let mut disk = Disk::default();
        self.store.journal().iter().for_each(|record| disk.advance(record));
        disk
    }

    /// What a power cut now leaves when the disk wrote only what it had to.
    fn worst(&self) -> Tree {
        self.disk().after_a_cut(Kept::Nothing)
    }

    /// The names that each of many power cuts now leaves.
    fn outcomes(&self) -> BTreeSet<Vec<String>> {
        let (disk, mut dice) = (self.disk(), Random(1));
        let mut outcome = || disk.after_a_cut(Kept::Some(&mut dice)).0.into_keys().collect();
        (0..500).map(|_| outcome()).collect()
    }
}

fn write_flushed(path: &Path, bytes: &[u8]) {
    let mut file = File::create(path).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
}

fn sync(directory: &Path) {
    File::open(directory).unwrap().sync_all().unwrap();
}

fn names(outcomes: &[&[&str]]) -> BTreeSet<Vec<String>> {
    outcomes.iter().map(|names| names.iter().map(ToString::to_string).collect()).collect()
}

#[test]
fn it_is_an_ordinary_file_system_while_it_runs() {
    let it = mounted();
    fs::create_dir_all(it.path("a/b")).unwrap();
    fs::write(it.path("a/b/one"), vec![7; 3_000_000]).unwrap();
    fs::rename(it.path("a/b/one"), it.path("a/two")).unwrap();
    fs::hard_link(it.path("a/two"), it.path("a/b/three")).unwrap();
    assert_eq!(fs::read(it.path("a/b/three")).unwrap(), vec![7; 3_000_000]);
    let mut listed: Vec<_> =
        fs::read_dir(it.path("a")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    listed.sort();
    assert_eq!(listed, ["b", "two"]);
    assert_eq!(fs::remove_dir(it.path("a/b")).unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    let open = File::open(it.path("a/two")).unwrap();
    fs::remove_file(it.path("a/two")).unwrap();
    fs::remove_file(it.path("a/b/three")).unwrap();
    let mut first = [0; 1];
    open.read_exact_at(&mut first, 2_999_999).unwrap();
    assert_eq!(first, [7], "what is open stays readable");
    fs::remove_dir_all(it.path("a")).unwrap();
    let exclusive = |name| OpenOptions::new().write(true).create_new(true).open(it.path(name)).map(drop);
    exclusive("x").unwrap();
    assert_eq!(exclusive("x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn a_file_that_was_not_flushed_is_lost_though_its_name_is_kept() {
    let it = mounted();
    fs::write(it.path("file"), b"bytes").unwrap();
    sync(it.mount.path());
    assert_eq!(it.worst().file("file"), Some(&b""[..]));
    let (disk, mut dice) = (it.disk(), Random(2));
    let contents: BTreeSet<Vec<u8>> =
        (0..500).map(|_| disk.after_a_cut(Kept::Some(&mut dice)).file("file").unwrap().to_vec()).collect();
    for possible in [&b""[..], b"by", b"bytes", b"\0\0\0", b"\0\0\0\0\0"] {
        assert!(contents.contains(possible), "{possible:?}");
    }
    for content in contents {
        assert!(
            content.len() <= 5 && (content.iter().all(|byte| *byte == 0) || b"bytes".starts_with(&content))
        );
    }
}

#[test]
fn a_directory_that_was_not_flushed_forgets_the_name_though_the_file_was_flushed() {
    let it = mounted();
    write_flushed(&it.path("file"), b"bytes");
    assert_eq!(it.worst(), Tree::default());
    sync(it.mount.path());
    assert_eq!(it.worst().file("file"), Some(&b"bytes"[..]));
}

#[test]
fn what_was_flushed_is_in_every_outcome() {
    let it = mounted();
    fs::create_dir(it.path("d")).unwrap();
    sync(it.mount.path());
    write_flushed(&it.path("d/file"), b"bytes");
    sync(&it.path("d"));
    fs::write(it.path("d/other"), b"not flushed").unwrap();
    fs::create_dir(it.path("e")).unwrap();
    let (disk, mut dice) = (it.disk(), Random(3));
    for _ in 0..300 {
        assert_eq!(disk.after_a_cut(Kept::Some(&mut dice)).file("d/file"), Some(&b"bytes"[..]));
    }
    assert_eq!(it.outcomes().len(), 4, "each of the other two is there or not");
}

#[test]
fn a_flushed_directory_is_lost_with_a_name_above_it_that_was_not() {
    let it = mounted();
    fs::create_dir(it.path("d")).unwrap();
    write_flushed(&it.path("d/file"), b"bytes");
    sync(&it.path("d"));
    assert_eq!(it.worst(), Tree::default());
}

#[test]
fn a_rename_is_done_or_not() {
    let it = mounted();
    write_flushed(&it.path("old"), b"1");
    write_flushed(&it.path("new"), b"2");
    sync(it.mount.path());
    fs::rename(it.path("new"), it.path("old")).unwrap();
    let (disk, mut dice) = (it.disk(), Random(4));
    for _ in 0..300 {
        let tree = disk.after_a_cut(Kept::Some(&mut dice));
        let (old, new) = (tree.file("old").unwrap(), tree.file("new"));
        assert!((old, new) == (b"1", Some(b"2")) || (old, new) == (b"2", None), "{old:?} {new:?}");
    }
}

#[test]
fn a_rename_between_directories_never_loses_the_file() {
    let it = mounted();
    for directory in ["a", "b"] {
        fs::create_dir(it.path(directory)).unwrap();
    }
    write_flushed(&it.path("a/file"), b"bytes");
    sync(it.mount.path());
    sync(&it.path("a"));
    fs::rename(it.path("a/file"), it.path("b/file")).unwrap();
    let (before, both, after): (&[&str], &[&str], &[&str]) =
        (&["a", "a/file", "b"], &["a", "a/file", "b", "b/file"], &["a", "b", "b/file"]);
    assert_eq!(it.outcomes(), names(&[before, both, after]));
    sync(&it.path("b"));
    assert_eq!(it.outcomes(), names(&[both, after]), "the new name is flushed");
    sync(&it.path("a"));
    assert_eq!(it.outcomes(), names(&[after]));
}

#[test]
fn flushing_the_directory_that_a_file_left_keeps_where_it_went() {
    let it = mounted();
    for directory in ["a", "b"] {
        fs::create_dir(it.path(directory)).unwrap();
    }
    write_flushed(&it.path("a/file"), b"bytes");
    sync(it.mount.path());
    fs::rename(it.path("a/file"), it.path("b/file")).unwrap();
    sync(&it.path("a"));
    assert_eq!(it.outcomes(), names(&[&["a", "b", "b/file"]]));
}

#[test]
fn an_unlink_that_was_not_flushed_may_come_back_and_a_name_keeps_its_order() {
    let it = mounted();
    write_flushed(&it.path("file"), b"1");
    sync(it.mount.path());
    fs::remove_file(it.path("file")).unwrap();
    write_flushed(&it.path("file"), b"2");
    let (disk, mut dice) = (it.disk(), Random(5));
    let found: BTreeSet<Option<Vec<u8>>> =
        (0..300).map(|_| disk.after_a_cut(Kept::Some(&mut dice)).file("file").map(<[u8]>::to_vec)).collect();
    assert_eq!(found, BTreeSet::from([None, Some(b"1".to_vec()), Some(b"2".to_vec())]));
    assert_eq!(it.worst().file("file"), Some(&b"1"[..]));
}

#[test]
fn bytes_overwritten_in_place_are_old_or_new_by_pages() {
    let it = mounted();
    write_flushed(&it.path("file"), &[1; 8192]);
    sync(it.mount.path());
    let file = OpenOptions::new().write(true).open(it.path("file")).unwrap();
    file.write_all_at(&[2; 8192], 0).unwrap();
    let (disk, mut dice) = (it.disk(), Random(6));
    for _ in 0..300 {
        let tree = disk.after_a_cut(Kept::Some(&mut dice));
        let bytes = tree.file("file").unwrap();
        assert!(bytes.len() == 8192 && bytes.iter().all(|byte| [1, 2].contains(byte)));
    }
    file.set_len(0).unwrap();
    let lengths: BTreeSet<usize> =
        (0..300).map(|_| it.disk().after_a_cut(Kept::Some(&mut dice)).file("file").unwrap().len()).collect();
    assert_eq!(lengths, BTreeSet::from([0, 8192]));
}

#[test]
fn a_tree_can_be_made_elsewhere() {
    let it = mounted();
    fs::create_dir_all(it.path("a/b")).unwrap();
    fs::write(it.path("a/b/file"), b"bytes").unwrap();
    let tree = it.disk().after_a_cut(Kept::Everything);
    assert_eq!(tree.0["a/b"], Entry::Directory);
    let elsewhere = TempDir::new().unwrap();
    tree.write_to(elsewhere.path()).unwrap();
    assert_eq!(fs::read(elsewhere.path().join("a/b/file")).unwrap(), b"bytes");
}

#[test]
fn the_third_flush_fails_with_what_was_asked_and_flushes_nothing() {
    let it = mounted();
    it.mount.gate().add(Fault::once(&[Operation::Flush], Effect::Error(Errno::ENOSPC)).after(2));
    let mut file = File::create(it.path("file")).unwrap();
    for _ in 0..2 {
        file.write_all(b"x").unwrap();
        file.sync_all().unwrap();
    }
    file.write_all(b"y").unwrap();
    assert_eq!(file.sync_all().unwrap_err().kind(), io::ErrorKind::StorageFull);
    sync(it.mount.path());
    assert_eq!(it.worst().file("file"), Some(&b"xx"[..]));
    file.sync_all().unwrap();
    assert_eq!(it.mount.gate().met(), 1);
}

#[test]
fn a_rename_can_be_done_and_say_that_it_was_not() {
    let it = mounted();
    fs::write(it.path("here"), b"").unwrap();
    it.mount
        .gate()
        .add(Fault::once(&[Operation::Rename], Effect::ErrorAfterwards(Errno::ENOENT)).on_path("/there"));
    assert_eq!(fs::rename(it.path("here"), it.path("there")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(it.path("there").exists() && !it.path("here").exists());
}

#[test]
fn calls_that_hang_go_on_or_are_given_up() {
    let it = mounted();
    for given_up in [false, true] {
        it.mount.gate().hang();
        let (path, (tell, told)) = (it.path(&given_up.to_string()), mpsc::channel());
        let waiting = thread::spawn(move || tell.send(fs::write(path, b"bytes").is_ok()));
        while it.mount.gate().hanging() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "it waits");
        if given_up {
            it.mount.gate().abandon();
        } else {
            it.mount.gate().resume();
        }
        assert_eq!(told.recv().unwrap(), !given_up);
        waiting.join().unwrap().unwrap();
    }
    it.mount.gate().admit();
    assert!(it.path("false").exists() && !it.path("true").exists());
}

/// The measured behaviour of two NFS clients: what one has looked up it believes until it opens the directory.
#[test]
fn a_client_believes_what_it_saw_until_it_opens_the_directory() {
    let store = StrictFileSystem::new();
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (reader, _writer) = (store.mount(here.path()), store.mount(there.path()));
    reader.gate().cache_names(Duration::from_secs(30));
    let look = |name: &str| fs::read(here.path().join(name)).ok();
    assert_eq!(look("absent"), None);
    fs::write(there.path().join("absent"), b"made").unwrap();
    assert_eq!(look("absent"), None, "a false absence");
    let exclusive = OpenOptions::new().write(true).create_new(true).open(here.path().join("absent"));
    assert_eq!(exclusive.unwrap_err().kind(), io::ErrorKind::AlreadyExists, "which creating it uncovers");
    File::open(here.path()).unwrap();
    assert_eq!(look("absent").unwrap(), b"made");
    // Renamed over: what it believes in has no name left, so it looks again.
    fs::write(there.path().join("new"), b"new").unwrap();
    fs::rename(there.path().join("new"), there.path().join("absent")).unwrap();
    assert_eq!(look("absent").unwrap(), b"new");
    // Renamed away: it goes on seeing it.
    fs::rename(there.path().join("absent"), there.path().join("away")).unwrap();
    assert_eq!(look("absent").unwrap(), b"new", "a false presence");
    File::open(here.path()).unwrap();
    assert_eq!(look("absent"), None);
    fs::remove_file(there.path().join("away")).unwrap();
    assert_eq!(look("away"), None);
}
