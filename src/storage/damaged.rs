//! Content that is not what its digest says: how it is told, and the place where it is set aside.
//!
//! A damaged file is never deleted: it is renamed to `.pakhuis/damaged/<alg>-<hex>-<random>`. Its digest is absent
//! then, so that the next push of it stores it anew.

use std::{fs::File, os::unix::fs::FileExt, path::PathBuf};

use uuid::Uuid;

use super::{
    Storage, StorageError, atomic_file, directories, error::IoContext, file_identity::FileIdentity,
    layout::DATA, lookup,
};
use crate::oci::{Algorithm, Digest, DigestHasher};

/// Size of the reads when content is hashed, in bytes.
const HASH_BLOCK: usize = 1 << 20;

/// A file that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAsideFile {
    /// What its bytes should have been.
    pub digest: Digest,
    /// Its name in the directory of such files.
    pub name: String,
}

impl Storage {
    /// Reads stored content whole, from the medium as far as the system lets us, and compares it with its digest.
    /// `pace` is told of the bytes of each read; an error of it ends the reading.
    ///
    /// # Errors
    /// `NotFound` when it is not stored. A file that cannot be read is an error, not damage.
    pub fn check_content(
        &self,
        digest: &Digest,
        pace: &mut dyn FnMut(usize) -> Result<(), StorageError>,
    ) -> Result<(FileIdentity, bool), StorageError> {
        let blob = self.open_stored(digest)?.ok_or(StorageError::NotFound)?;
        let path = self.layout.blob_directory(digest).join(DATA);
        // What is in this machine's memory may be right while the medium is wrong, and the other way round; and a
        // volume that is read from end to end shall not push out of memory what clients ask for.
        let forget = || rustix::fs::fadvise(&*blob.file, 0, None, rustix::fs::Advice::DontNeed);
        let _ = forget();
        let computed = hash_file(&blob.file, digest.algorithm(), pace).context("read", &path)??;
        let _ = forget();
        Ok((blob.identity, computed == *digest))
    }

    /// Whether content that was stored under `digest` before is right, by reading it. What cannot be read is not.
    pub(super) fn is_good(&self, digest: &Digest) -> bool {
        let Ok(Some(blob)) = self.open_stored(digest) else { return false };
        let computed = hash_file(&blob.file, digest.algorithm(), &mut |_| Ok(()));
        computed.is_ok_and(|computed| computed.is_ok_and(|computed| computed == *digest))
    }

    /// Whether the content of an sha512 alias of registry:2, stored under `target`, has the digest of its name.
    ///
    /// # Errors
    /// `NotFound` when it is not stored.
    pub fn check_alias(
        &self,
        alias: &Digest,
        target: &Digest,
        pace: &mut dyn FnMut(usize) -> Result<(), StorageError>,
    ) -> Result<bool, StorageError> {
        let blob = self.open_stored(target)?.ok_or(StorageError::NotFound)?;
        let path = self.layout.blob_directory(target).join(DATA);
        Ok(hash_file(&blob.file, alias.algorithm(), pace).context("read", &path)?? == *alias)
    }

    /// Sets stored content aside, durably, if it is still the file that was found damaged. `Ok(false)` when it is
    /// not: another server set it aside, or a push replaced it.
    pub fn set_aside(&self, digest: &Digest, damaged: &FileIdentity) -> Result<bool, StorageError> {
        let directory = self.layout.blob_directory(digest);
        let found = lookup::identity_in(self.layout.v2(), &directory, DATA)?;
        if !found.is_some_and(|found| found.is_same_file(damaged)) {
            return Ok(false);
        }
        let data = directory.join(DATA);
        let shelf = self.layout.damaged();
        directories::make(self.layout.v2(), &shelf)?;
        let name =
            format!("{}-{}-{}", digest.algorithm().as_str(), digest.encoded(), Uuid::new_v4().simple());
        let aside = shelf.join(&name);
        match atomic_file::rename(&data, &aside, || aside.exists()) {
            Err(StorageError::NotFound) => return Ok(false),
            result => result?,
        }
        // Between the look and the rename a push may have replaced it: what was taken then is good.
        let taken = lookup::identity_in(self.layout.v2(), &shelf, &name)?;
        let is_it = taken.is_some_and(|taken| taken.is_same_file(damaged));
        if !is_it {
            atomic_file::move_if_absent(&aside, &data)?;
        }
        self.settle_permanent(&shelf)?;
        self.settle_removal(&directory)?;
        Ok(is_it)
    }

    /// The files that were set aside, in no order.
    pub fn list_set_aside(&self) -> Result<Vec<SetAsideFile>, StorageError> {
        let names = lookup::names(self.layout.v2(), &self.layout.damaged())?.unwrap_or_default();
        Ok(names.into_iter().filter_map(parse_name).collect())
    }

    /// Whether a file that was set aside is what its digest says after all.
    ///
    /// # Errors
    /// `NotFound` when it is gone.
    pub fn check_set_aside(
        &self,
        aside: &SetAsideFile,
        pace: &mut dyn FnMut(usize) -> Result<(), StorageError>,
    ) -> Result<bool, StorageError> {
        let path = self.set_aside_path(aside);
        let file = lookup::open(self.layout.v2(), &path)?.ok_or(StorageError::NotFound)?;
        let computed = hash_file(&file, aside.digest.algorithm(), pace).context("read", &path)??;
        Ok(computed == aside.digest)
    }

    /// Puts a file back that was set aside and is good. `Ok(false)` when its digest is stored again.
    pub fn restore_set_aside(&self, aside: &SetAsideFile) -> Result<bool, StorageError> {
        if self.stored_size(&aside.digest)?.is_some() {
            return Ok(false);
        }
        let directory = self.layout.blob_directory(&aside.digest);
        directories::make(self.layout.v2(), &directory)?;
        let moved = atomic_file::move_if_absent(&self.set_aside_path(aside), &directory.join(DATA))?;
        self.settle(&directory, directory.parent().unwrap_or(&directory))?;
        self.settle_permanent(&self.layout.damaged())?;
        Ok(moved)
    }

    fn set_aside_path(&self, aside: &SetAsideFile) -> PathBuf {
        self.layout.damaged().join(&aside.name)
    }
}

fn parse_name(name: String) -> Option<SetAsideFile> {
    let mut parts = name.splitn(3, '-');
    let algorithm: Algorithm = parts.next()?.parse().ok()?;
    let digest = Digest::from_parts(algorithm, parts.next()?).ok()?;
    parts.next()?;
    Some(SetAsideFile { digest, name })
}

/// The digest of a whole file, read from its start. The outer error is the file's, the inner one the pace's.
fn hash_file(
    file: &File,
    algorithm: Algorithm,
    pace: &mut dyn FnMut(usize) -> Result<(), StorageError>,
) -> std::io::Result<Result<Digest, StorageError>> {
    let mut hasher = DigestHasher::new(algorithm);
    let (mut block, mut offset) = (Vec::new(), 0_u64);
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(HASH_BLOCK);
    block.resize(length.clamp(1, HASH_BLOCK), 0);
    loop {
        let count = match file.read_at(&mut block, offset) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if count == 0 {
            return Ok(Ok(hasher.finish()));
        }
        hasher.update(&block[..count]);
        offset += count as u64;
        if let Err(error) = pace(count) {
            return Ok(Err(error));
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the tests damage the tree on purpose")]
mod tests {
    use super::*;
    use crate::storage::Config;

    fn stored(bytes: &[u8]) -> (tempfile::TempDir, Storage, Digest, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(Config::new(directory.path())).unwrap();
        let digest = Digest::of(Algorithm::Sha256, bytes);
        storage.write_content(&digest, bytes).unwrap();
        let path = storage.layout.blob_directory(&digest).join(DATA);
        (directory, storage, digest, path)
    }

    #[test]
    fn what_is_set_aside_is_absent_and_kept_and_can_come_back() {
        let (_directory, storage, digest, _) = stored(b"hello");
        let identity = storage.find_stored(&digest).unwrap().unwrap();
        assert!(storage.set_aside(&digest, &identity).unwrap());
        assert_eq!(storage.find_stored(&digest).unwrap(), None);
        assert!(!storage.set_aside(&digest, &identity).unwrap(), "a second server comes too late");
        let aside = storage.list_set_aside().unwrap();
        assert_eq!(aside.iter().map(|file| &file.digest).collect::<Vec<_>>(), [&digest]);
        assert!(storage.check_set_aside(&aside[0], &mut |_| Ok(())).unwrap(), "it was good after all");
        assert!(storage.restore_set_aside(&aside[0]).unwrap());
        assert_eq!(storage.read_content(&digest, 10).unwrap().unwrap(), b"hello");
        assert_eq!(storage.list_set_aside().unwrap(), []);
    }

    #[test]
    fn what_was_pushed_meanwhile_is_not_set_aside_and_not_overwritten() {
        let (_directory, storage, digest, path) = stored(b"hello");
        std::fs::write(&path, b"hellp").unwrap();
        let damaged = storage.find_stored(&digest).unwrap().unwrap();
        assert!(!storage.check_content(&digest, &mut |_| Ok(())).unwrap().1);
        storage.write_content(&digest, b"hello").unwrap();
        assert!(!storage.set_aside(&digest, &damaged).unwrap());
        assert!(storage.check_content(&digest, &mut |_| Ok(())).unwrap().1);
        let good = storage.find_stored(&digest).unwrap().unwrap();
        assert!(storage.set_aside(&digest, &good).unwrap());
        storage.write_content(&digest, b"hello").unwrap();
        let aside = storage.list_set_aside().unwrap();
        assert!(!storage.restore_set_aside(&aside[0]).unwrap());
        assert_eq!(storage.list_set_aside().unwrap(), aside, "never deleted");
    }

    #[test]
    fn what_another_put_on_the_shelf_is_left_alone() {
        let (_directory, storage, digest, _) = stored(b"hello");
        let identity = storage.find_stored(&digest).unwrap().unwrap();
        storage.set_aside(&digest, &identity).unwrap();
        for name in ["notes.txt", "sha256-abc-def", "md5-00-11"] {
            std::fs::write(storage.layout.damaged().join(name), b"x").unwrap();
        }
        assert_eq!(storage.list_set_aside().unwrap().len(), 1);
    }
}
