//! Small files of our own that all servers of a volume share, in our private directory.

use std::time::Duration;

use super::{Storage, StorageError, atomic_file, lookup};

impl Storage {
    /// Reads a small file of our own that all servers share; `None` when it is not there.
    pub fn read_note(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let file = lookup::read_small(self.layout.v2(), &self.layout.private().join(name))?;
        Ok(file.map(|file| file.bytes))
    }

    /// How long ago such a file was written, by the file server's clock; `None` when it is not there.
    pub fn note_age(&self, name: &str) -> Result<Option<Duration>, StorageError> {
        self.age_in(&self.layout.private(), name)
    }

    /// Writes such a file whole. At most 4 KiB are read back; a power cut may lose it.
    pub fn write_note(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        atomic_file::put_volatile(&self.layout.private(), name, bytes)
    }

    /// Removes such a file.
    pub fn remove_note(&self, name: &str) -> Result<(), StorageError> {
        atomic_file::remove(self.layout.v2(), &self.layout.private().join(name)).map(drop)
    }
}
