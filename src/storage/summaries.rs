//! Summaries of manifests as files: what pages show, so that no page reads a manifest or a configuration again.
//!
//! Each follows from content that never changes, so a file can be lost or damaged but not be out of date: it has a
//! checksum, and is made again when that is wrong. Written without flushing, once, by whichever server comes first.

use std::io::Read;

use super::{
    Storage, atomic_file, directories,
    error::{IoContext, StorageError},
    lookup, removal,
};
use crate::oci::{Algorithm, Digest};

/// Changes with what a summary says, so that those of an older version are made again.
const FORM: &str = "pakhuis-summary-1";

/// Largest file read, in bytes: all lists and texts of a summary are bounded.
const LIMIT: u64 = 16 << 20;

impl Storage {
    /// The summary kept of a manifest; `None` when there is none, or it is damaged.
    pub fn read_summary(&self, manifest: &Digest) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.layout.summary_shard(manifest).join(manifest.encoded());
        // By path and once: should this client not know the file yet, it is made again, and is the same.
        let mut file = match std::fs::File::open(&path) {
            Ok(file) => file.take(LIMIT),
            Err(error) if lookup::is_stale(&error) => return Ok(None),
            Err(error) => return Err(error).context("open", &path),
        };
        let mut bytes = Vec::with_capacity(4096);
        file.read_to_end(&mut bytes).context("read", &path)?;
        let body = decode(&bytes).map(<[u8]>::to_vec);
        if body.is_none() {
            tracing::info!(path = %path.display(), "a summary is damaged or of another version; it is made again");
        }
        Ok(body)
    }

    /// Keeps the summary of a manifest.
    pub fn write_summary(&self, manifest: &Digest, body: &[u8]) -> Result<(), StorageError> {
        let directory = self.layout.summary_shard(manifest);
        let bytes = encode(body);
        match atomic_file::put_volatile(&directory, manifest.encoded(), &bytes) {
            Err(StorageError::NotFound) => {
                directories::make(self.layout.v2(), &directory)?;
                atomic_file::put_volatile(&directory, manifest.encoded(), &bytes)
            }
            result => result,
        }
    }

    /// Forgets all summaries.
    pub fn remove_summaries(&self) -> Result<(), StorageError> {
        let directory = self.layout.summaries();
        removal::try_remove_tree(&directory, &[]).context("remove", &directory)
    }
}

fn encode(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{FORM} {}\n", Digest::of(Algorithm::Sha256, body)).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn decode(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let digest = std::str::from_utf8(&bytes[..end]).ok()?.strip_prefix(FORM)?.strip_prefix(' ')?;
    let body = &bytes[end + 1..];
    (Digest::of(Algorithm::Sha256, body).as_str() == digest).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::volume;

    #[test]
    fn a_summary_is_kept_and_a_damaged_one_is_none() {
        let volume = volume();
        let manifest = Digest::of(Algorithm::Sha256, b"manifest");
        assert_eq!(volume.storage.read_summary(&manifest).unwrap(), None);
        volume.storage.write_summary(&manifest, b"{}").unwrap();
        assert_eq!(volume.storage.read_summary(&manifest).unwrap().as_deref(), Some(&b"{}"[..]));
        let bytes = encode(b"{\"a\":1}");
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_none(), "cut at {length}");
        }
        volume.storage.remove_summaries().unwrap();
        assert_eq!(volume.storage.read_summary(&manifest).unwrap(), None);
    }
}
