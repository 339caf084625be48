//! What the manifests of a repository name as their subject, kept in one file so that they need not be read again.
//!
//! It is only a memory: each line follows from the bytes of a manifest, which never change, so the file can lack
//! something but say nothing wrong. It may be lost or torn; then the manifests are read once more.

use std::{collections::HashMap, io::Read};

use super::{
    Storage, atomic_file, directories,
    error::{IoContext, StorageError},
    layout::SUBJECTS,
    lookup,
};
use crate::oci::{Algorithm, Digest, RepositoryName};

/// The subject of each manifest that was read; `None` for one that names none.
pub type Subjects = HashMap<Digest, Option<Digest>>;

const FORM: &str = "pakhuis-subjects-1";

/// Largest file read, in bytes: 400,000 manifests.
const LIMIT: u64 = 64 << 20;

impl Storage {
    /// What is remembered of a repository; nothing when the file is not there or damaged.
    pub fn read_subjects(&self, repository: &RepositoryName) -> Result<Subjects, StorageError> {
        let path = self.layout.referrers_root(repository).join(SUBJECTS);
        let Some(file) = lookup::open(self.layout.v2(), &path)? else { return Ok(Subjects::new()) };
        let mut bytes = Vec::new();
        match file.take(LIMIT).read_to_end(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => return Ok(Subjects::new()),
            result => result.context("read", &path)?,
        };
        Ok(decode(&bytes).unwrap_or_else(|| {
            tracing::warn!(path = %path.display(), "the list of subjects is damaged; manifests are read again");
            Subjects::new()
        }))
    }

    /// Remembers what a repository's manifests name. Not flushed: it is checked when read, and made again.
    pub fn write_subjects(
        &self,
        repository: &RepositoryName,
        subjects: &Subjects,
    ) -> Result<(), StorageError> {
        let directory = self.layout.referrers_root(repository);
        directories::make(self.layout.v2(), &directory)?;
        atomic_file::put_volatile(&directory, SUBJECTS, &encode(subjects))
    }
}

/// A line with the form, one line a manifest, and a line with the digest of all before it.
fn encode(subjects: &Subjects) -> Vec<u8> {
    let mut sorted: Vec<_> = subjects.iter().collect();
    sorted.sort_unstable();
    let mut text = format!("{FORM}\n");
    for (manifest, subject) in sorted {
        text.push_str(manifest.as_str());
        if let Some(subject) = subject {
            text.push(' ');
            text.push_str(subject.as_str());
        }
        text.push('\n');
    }
    let checksum = Digest::of(Algorithm::Sha256, text.as_bytes());
    text.push_str(checksum.as_str());
    text.into_bytes()
}

fn decode(bytes: &[u8]) -> Option<Subjects> {
    let text = std::str::from_utf8(bytes).ok()?;
    let end = text.rfind('\n')? + 1;
    let (body, checksum) = text.split_at(end);
    if Digest::of(Algorithm::Sha256, body.as_bytes()).as_str() != checksum {
        return None;
    }
    let lines = body.strip_prefix(FORM)?.strip_prefix('\n')?.lines();
    lines
        .map(|line| match line.split_once(' ') {
            Some((manifest, subject)) => Some((manifest.parse().ok()?, Some(subject.parse().ok()?))),
            None => Some((line.parse().ok()?, None)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_survives_and_a_torn_one_is_refused() {
        let digest = |text: &str| Digest::of(Algorithm::Sha256, text.as_bytes());
        let long = Digest::of(Algorithm::Sha512, b"d");
        let subjects = Subjects::from([
            (digest("a"), None),
            (digest("b"), Some(digest("a"))),
            (digest("c"), Some(long.clone())),
            (long, None),
        ]);
        let bytes = encode(&subjects);
        assert_eq!(decode(&bytes), Some(subjects));
        assert_eq!(decode(&encode(&Subjects::new())), Some(Subjects::new()));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_none(), "cut at {length}");
            let mut flipped = bytes.clone();
            flipped[length] ^= 1;
            assert!(decode(&flipped).is_none(), "flipped at {length}");
        }
    }
}
