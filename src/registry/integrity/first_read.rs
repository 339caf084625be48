//! The first read of a file: hashed as its blocks pass, once however many clients read it at the same time.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    oci::{Digest, DigestHasher},
    storage::FileIdentity,
};

/// Bytes read at once when no client's read brings them.
const PIECE: usize = 1 << 20;

/// What became of a first read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Verdict {
    /// The bytes have the digest.
    Right,
    /// They do not.
    Damaged,
}

/// The hash of a file up to its frontier, shared by all that read it.
///
/// A block is taken in only where it continues the frontier. So N clients that read from the start hash each byte
/// once, and a client that reads a part finds what others have done.
pub(in crate::registry) struct FirstRead {
    digest: Digest,
    identity: FileIdentity,
    state: Mutex<State>,
    /// Held by the one who reads on to the end: the others wait for it instead of reading the same.
    pub(in crate::registry) reading_on: tokio::sync::Mutex<()>,
}

struct State {
    frontier: u64,
    hasher: Option<DigestHasher>,
    verdict: Option<Verdict>,
}

impl FirstRead {
    pub(super) fn new(digest: Digest, identity: FileIdentity) -> Self {
        let hasher = Some(DigestHasher::new(digest.algorithm()));
        let read = Self {
            digest,
            identity,
            state: Mutex::new(State { frontier: 0, hasher, verdict: None }),
            reading_on: tokio::sync::Mutex::new(()),
        };
        // An empty file is read to its end already.
        read.take_in(0, &[]);
        read
    }

    pub(super) fn identity(&self) -> &FileIdentity {
        &self.identity
    }

    pub(in crate::registry) fn verdict(&self) -> Option<Verdict> {
        self.state().verdict
    }

    /// Hashes what of a block lies beyond the frontier, if the block reaches it. Call it off the async threads.
    pub(in crate::registry) fn take_in(&self, offset: u64, block: &[u8]) {
        let mut state = self.state();
        let Some(known) = state.frontier.checked_sub(offset) else { return };
        let new = usize::try_from(known).ok().and_then(|known| block.get(known..)).unwrap_or_default();
        let Some(hasher) = state.hasher.as_mut() else { return };
        hasher.update(new);
        state.frontier += new.len() as u64;
        if state.frontier >= self.identity.size {
            let computed = state.hasher.take().map(DigestHasher::finish);
            let is_right = computed.as_ref() == Some(&self.digest);
            state.verdict = Some(if is_right { Verdict::Right } else { Verdict::Damaged });
        }
    }

    /// Reads a piece beyond the frontier and hashes it; whether the end is reached. Blocks.
    pub(in crate::registry) fn read_on(&self, file: &File) -> io::Result<bool> {
        let (frontier, verdict) = {
            let state = self.state();
            (state.frontier, state.verdict)
        };
        if verdict.is_some() {
            return Ok(true);
        }
        let left = usize::try_from(self.identity.size - frontier).unwrap_or(PIECE);
        let mut piece = vec![0; left.min(PIECE)];
        file.read_exact_at(&mut piece, frontier)?;
        self.take_in(frontier, &piece);
        Ok(self.verdict().is_some())
    }

    /// Reads and hashes all that is left. Blocks as long as that takes.
    pub(super) fn finish(&self, file: &File) -> io::Result<()> {
        while !self.read_on(file)? {}
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::oci::Algorithm;

    fn read_of(bytes: &[u8]) -> (FirstRead, File) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let identity = FileIdentity::from(&file.metadata().unwrap());
        (FirstRead::new(Digest::of(Algorithm::Sha256, bytes), identity), file)
    }

    #[test]
    fn blocks_in_any_order_are_hashed_once_each() {
        let bytes: Vec<u8> = (0..5000_u32).map(|i| (i * 31) as u8).collect();
        let (read, file) = read_of(&bytes);
        read.take_in(1000, &bytes[1000..2000]);
        assert_eq!(read.state().frontier, 0, "it does not reach the frontier");
        read.take_in(0, &bytes[..1500]);
        read.take_in(0, &bytes[..1500]);
        read.take_in(1000, &bytes[1000..2000]);
        assert_eq!(read.state().frontier, 2000);
        assert_eq!(read.verdict(), None);
        read.finish(&file).unwrap();
        assert_eq!(read.verdict(), Some(Verdict::Right));
        read.take_in(0, b"what comes later changes nothing");
        assert_eq!(read.verdict(), Some(Verdict::Right));
    }

    #[test]
    fn damage_and_emptiness_are_told() {
        let (read, _) = read_of(b"hello");
        read.take_in(0, b"hellp");
        assert_eq!(read.verdict(), Some(Verdict::Damaged));
        assert_eq!(read_of(b"").0.verdict(), Some(Verdict::Right));
    }
}
