//! The journal: which tag was moved when and by whom, for people to look at. No answer of the registry depends on it.
//!
//! Each process adds to a file of its own, a new one a day, so servers on one volume never write into one file: NFS has
//! no append that two clients may do at once. A reader takes whole lines; a line that a crash tore is passed over.

use std::os::unix::fs::FileExt;

use super::{
    Storage, atomic_file, directories,
    error::{IoContext, StorageError},
    lookup, removal,
};

/// Most read of one file at once, in bytes.
const BLOCK: usize = 4 << 20;

/// A file of the journal and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalFile {
    /// The day, `2026-11-26`.
    pub day: String,
    /// The process that writes it.
    pub writer: String,
    /// In bytes.
    pub size: u64,
}

impl Storage {
    /// Adds lines to the file of one process and day. `day` and `writer` are of letters, digits and `-`. Says whether
    /// it is the first of the day.
    pub fn append_journal(&self, day: &str, writer: &str, lines: &[u8]) -> Result<bool, StorageError> {
        let directory = self.layout.journal().join(day);
        let path = directory.join(writer);
        match atomic_file::append(&path, lines) {
            Err(StorageError::NotFound) => {
                directories::make(self.layout.v2(), &directory)?;
                atomic_file::append(&path, lines).map(|()| true)
            }
            result => result.map(|()| false),
        }
    }

    /// The days there are entries of, the newest first.
    pub fn journal_days(&self) -> Result<Vec<String>, StorageError> {
        let names = lookup::names(self.layout.v2(), &self.layout.journal())?;
        let mut days = names.unwrap_or_default();
        days.retain(|day| is_day(day));
        days.sort_unstable_by(|one, other| other.cmp(one));
        Ok(days)
    }

    /// The files of a day.
    pub fn journal_files(&self, day: &str) -> Result<Vec<JournalFile>, StorageError> {
        let directory = self.layout.journal().join(day);
        let mut files = Vec::new();
        for writer in lookup::names(self.layout.v2(), &directory)?.unwrap_or_default() {
            if !is_plain(&writer) {
                continue;
            }
            if let Some(file) = lookup::identity_in(self.layout.v2(), &directory, &writer)? {
                files.push(JournalFile { day: day.to_owned(), writer, size: file.size });
            }
        }
        Ok(files)
    }

    /// The bytes of a file from `offset` on, up to the end of a line and 4 MiB; empty when there are no more, or the
    /// file is gone.
    pub fn read_journal(&self, file: &JournalFile, offset: u64) -> Result<Vec<u8>, StorageError> {
        let path = self.layout.journal().join(&file.day).join(&file.writer);
        let Some(opened) = lookup::open(self.layout.v2(), &path)? else { return Ok(Vec::new()) };
        let left = file.size.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(BLOCK).min(BLOCK)];
        let mut filled = 0;
        while filled < bytes.len() {
            match opened.read_at(&mut bytes[filled..], offset + filled as u64).context("read", &path)? {
                0 => break,
                read => filled += read,
            }
        }
        let end = bytes[..filled].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(end);
        Ok(bytes)
    }

    /// Forgets a day.
    pub fn remove_journal(&self, day: &str) -> Result<(), StorageError> {
        let directory = self.layout.journal().join(day);
        removal::try_remove_tree(&directory, &[]).context("remove", &directory)
    }
}

/// Whether a name is that of a day. What a later version keeps beside them is none, neither new nor old.
fn is_day(name: &str) -> bool {
    let is_like = |(byte, like): (u8, u8)| if like == b'-' { byte == b'-' } else { byte.is_ascii_digit() };
    name.len() == 10 && name.bytes().zip(*b"0000-00-00").all(is_like)
}

/// Whether a name is one that we give, so that it stays below our directory.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use crate::storage::tests::volume;

    #[test]
    fn a_reader_takes_whole_lines_of_every_process() {
        let volume = volume();
        let storage = &volume.storage;
        assert!(storage.append_journal("2026-11-25", "b", b"old\n").unwrap());
        storage.append_journal("2026-11-26", "a", b"one\ntwo\nthr").unwrap();
        assert_eq!(storage.journal_days().unwrap(), ["2026-11-26", "2026-11-25"]);
        let file = storage.journal_files("2026-11-26").unwrap().remove(0);
        assert_eq!(storage.read_journal(&file, 0).unwrap(), b"one\ntwo\n");
        assert!(!storage.append_journal("2026-11-26", "a", b"ee\n").unwrap());
        let grown = storage.journal_files("2026-11-26").unwrap().remove(0);
        assert_eq!(storage.read_journal(&grown, 8).unwrap(), b"three\n");
        assert_eq!(storage.read_journal(&grown, grown.size).unwrap(), b"");
        storage.remove_journal("2026-11-25").unwrap();
        assert_eq!(storage.journal_days().unwrap(), ["2026-11-26"]);
    }
}
