//! Making names durable: flushing the directories that lead to them.
//!
//! Whoever sees a directory, a link or a blob cannot know whether the server that made it has flushed its name yet,
//! or died before it could. So whoever acknowledges something flushes every directory on the way to it, from the
//! one that holds it to the top of the volume, whoever made them. What this process has made durable it remembers:
//! directories that are never removed, by their inode; and files, by their identity, since a file that is the same
//! file under the same name has kept every directory above it in its place. Forgetting costs a flush and nothing else.
//!
//! On NFS names are on stable storage when the file server has answered (RFC 1813, 4.8; RFC 8881, 18), and flushing a
//! directory is nothing to a client: there none is opened for that.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::{
    Storage, StorageError,
    atomic_file::{self, Put},
    error::IoContext,
    file_identity::FileIdentity,
    lookup,
};

/// What `statfs` says of a file system that is NFS.
const NFS_SUPER_MAGIC: rustix::fs::FsWord = 0x6969;

/// Names remembered of each kind. Beyond that all are forgotten: the images of a busy day fit, in about 5 MB.
const REMEMBERED: usize = 50_000;

/// What this process has made durable, with all names above it.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Directories with their inodes: one that was removed by hand and made again is another.
    directories: Memory<u64>,
    files: Memory<FileIdentity>,
    /// Whether names are durable as soon as they are made.
    is_synchronous: bool,
}

/// Paths by their hash, whose key nobody knows: a path that met another's would have to lead to the same file.
#[derive(Debug)]
struct Memory<T> {
    known: Mutex<HashMap<u64, T>>,
    hasher: RandomState,
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self { known: Mutex::default(), hasher: RandomState::default() }
    }
}

impl<T: PartialEq> Memory<T> {
    fn contains(&self, path: &Path, what: &T) -> bool {
        let key = self.hasher.hash_one(path);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) == Some(what)
    }

    fn insert(&self, path: &Path, what: T) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(self.hasher.hash_one(path), what);
    }
}

impl Settled {
    /// What is known when a volume is opened: what its file system does by itself.
    pub(super) fn of(v2: &Path) -> Self {
        let is_synchronous = rustix::fs::statfs(v2).is_ok_and(|found| found.f_type == NFS_SUPER_MAGIC);
        Self { is_synchronous, ..Self::default() }
    }

    /// Whether the volume is on NFS: names are durable as soon as they are made, and what became of a write is told
    /// when the file is flushed.
    pub(super) fn is_synchronous(&self) -> bool {
        self.is_synchronous
    }

    pub(super) fn contains(&self, directory: &Path, inode: u64) -> bool {
        self.directories.contains(directory, &inode)
    }

    pub(super) fn contains_file(&self, path: &Path, file: &FileIdentity) -> bool {
        self.files.contains(path, file)
    }
}

impl Storage {
    /// Makes the names in `directory` durable, and its own, and all names above it. From `permanent` upwards
    /// directories are never removed.
    pub(super) fn settle(&self, directory: &Path, permanent: &Path) -> Result<(), StorageError> {
        if self.settled.is_synchronous {
            return Ok(());
        }
        for removable in directory.ancestors().take_while(|ancestor| *ancestor != permanent) {
            match atomic_file::sync_directory(removable) {
                // A delete at the same time took it away, with all that was in it.
                Err(StorageError::NotFound) => {}
                result => result.map(drop)?,
            }
        }
        self.settle_permanent(permanent)
    }

    /// Makes a file that is there durable, with all names above it, unless this process did.
    pub(super) fn settle_file(
        &self,
        path: &Path,
        file: &FileIdentity,
        permanent: &Path,
    ) -> Result<(), StorageError> {
        // On NFS whoever closed the file has flushed it.
        if self.settled.is_synchronous || self.settled.contains_file(path, file) {
            return Ok(());
        }
        self.flush_file(path)?;
        self.settle(path.parent().unwrap_or(permanent), permanent)?;
        self.note_settled(path, *file);
        Ok(())
    }

    /// Makes the name of a file durable that was just put.
    pub(super) fn settle_put(&self, path: &Path, put: &Put, permanent: &Path) -> Result<(), StorageError> {
        let directory = path.parent().unwrap_or(permanent);
        let is_settled = put.before.as_ref().is_some_and(|before| self.settled.contains_file(path, before));
        if self.settled.is_synchronous || put.was_there() && is_settled {
            return Ok(());
        }
        if put.was_there() {
            self.flush_file(path)?;
        }
        put.directory.sync_all().context("flush", directory)?;
        if !is_settled {
            self.settle(directory.parent().unwrap_or(permanent), permanent)?;
        }
        self.note_settled(path, put.file);
        Ok(())
    }

    /// Makes the bytes of a file durable that is there: Pakhuis flushes before it gives a name, registry:2 and a
    /// restored copy may not have.
    fn flush_file(&self, path: &Path) -> Result<(), StorageError> {
        match lookup::open(self.layout.v2(), path)? {
            Some(file) => file.sync_all().context("flush", path),
            // Removed since: nothing is left to be kept.
            None => Ok(()),
        }
    }

    /// Remembers that a file is durable under its name, with all names above it.
    pub(super) fn note_settled(&self, path: &Path, file: FileIdentity) {
        if !self.settled.is_synchronous {
            self.settled.files.insert(path, file);
        }
    }

    /// Makes it durable that a name is gone from a directory, or that the directory is, which a delete at the same time
    /// may have taken away.
    pub(super) fn settle_removal(&self, directory: &Path) -> Result<(), StorageError> {
        if self.settled.is_synchronous {
            return Ok(());
        }
        atomic_file::sync_what_is_left(directory)
    }

    /// Makes the names of directories of one repository durable, and all above them; not yet what is in them.
    pub(super) fn settle_names(&self, directories: &[&Path]) -> Result<(), StorageError> {
        let mut flushed = BTreeSet::new();
        for parent in directories.iter().filter_map(|directory| directory.parent()) {
            self.settle_upwards(parent, &mut flushed)?;
        }
        for directory in directories {
            let opened = lookup::open_directory_again(directory)?;
            let inode = opened.metadata().context("look up", directory)?.ino();
            self.settled.directories.insert(directory, inode);
        }
        Ok(())
    }

    /// Makes the names in `directory` durable, and its own, and all names above it.
    pub(super) fn settle_permanent(&self, directory: &Path) -> Result<(), StorageError> {
        self.settle_upwards(directory, &mut BTreeSet::new())
    }

    /// As [`Storage::settle_permanent`], but each directory once.
    fn settle_upwards<'a>(
        &self,
        directory: &'a Path,
        flushed: &mut BTreeSet<&'a Path>,
    ) -> Result<(), StorageError> {
        if self.settled.is_synchronous || !flushed.insert(directory) {
            return Ok(());
        }
        let inode = atomic_file::sync_directory(directory)?;
        if directory == self.layout.v2() || self.settled.contains(directory, inode) {
            return Ok(());
        }
        if let Some(parent) = directory.parent() {
            self.settle_upwards(parent, flushed)?;
        }
        self.settled.directories.insert(directory, inode);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::storage::Config;

    const BYTES: &[u8] = b"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    struct Volume {
        storage: Storage,
        tag: std::path::PathBuf,
        tags: std::path::PathBuf,
        _root: tempfile::TempDir,
    }

    fn volume() -> Volume {
        let root = tempfile::tempdir().unwrap();
        let storage = Storage::open(Config::new(root.path())).unwrap();
        let name = "app".parse().unwrap();
        storage.ensure_repository(&name).unwrap();
        let (tags, tag) =
            (storage.layout.tags(&name), storage.layout.tag_current(&name, &"v1".parse().unwrap()));
        Volume { storage, tag, tags, _root: root }
    }

    impl Volume {
        fn put(&self, bytes: &[u8]) -> Put {
            // Times of files go by ticks of the kernel, of up to 10 ms.
            std::thread::sleep(std::time::Duration::from_millis(20));
            atomic_file::put(self.storage.layout.v2(), &self.tag, "link", bytes).unwrap()
        }

        fn is_settled(&self) -> bool {
            let path = self.tag.join("link");
            let found = lookup::read_small(self.storage.layout.v2(), &path).unwrap().unwrap();
            self.storage.settled.contains_file(&path, &found.identity)
        }
    }

    #[test]
    fn what_was_settled_is_while_it_is_the_same_file() {
        let volume = volume();
        let put = volume.put(BYTES);
        assert!(!put.was_there() && !volume.is_settled());
        volume.storage.settle_put(&volume.tag.join("link"), &put, &volume.tags).unwrap();
        assert!(volume.is_settled());
        assert!(volume.put(BYTES).was_there() && volume.is_settled());
        // Another server moves the tag, and moves it back.
        volume.put(b"another");
        assert!(!volume.is_settled());
        volume.put(BYTES);
        assert!(!volume.is_settled());
    }

    #[test]
    fn a_tag_that_was_deleted_and_made_again_by_others_is_another() {
        let volume = volume();
        let put = volume.put(BYTES);
        volume.storage.settle_put(&volume.tag.join("link"), &put, &volume.tags).unwrap();
        // The directories may well get their old inodes.
        fs::remove_dir_all(volume.tag.parent().unwrap()).unwrap();
        volume.put(BYTES);
        assert!(!volume.is_settled());
        let moved = volume.put(b"another");
        assert!(
            !moved.before.is_some_and(|before| volume
                .storage
                .settled
                .contains_file(&volume.tag.join("link"), &before)),
            "the directories above are flushed again"
        );
    }
}
