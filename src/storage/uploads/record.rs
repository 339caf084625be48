//! The record of an upload: how many bytes were acknowledged, and the state of their hash.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::oci::{Algorithm, Digest, DigestHasher};

/// The form of the hash state belongs to `sha2` 0.11; a record of another form is not understood, and the upload
/// starts again.
const FORM: &str = "pakhuis-upload-1";

/// What `state` holds: one line of the form, the algorithm, the offset, the inode, the hash state and a checksum
/// of these, since the file is not flushed and may be torn by a power cut.
pub(super) struct Record {
    /// How many bytes were acknowledged.
    pub(super) offset: u64,
    /// The inode of the file they are in: a record that a slow server writes after its upload was taken over
    /// does not speak of the new file.
    pub(super) inode: u64,
    /// The hash of those bytes.
    pub(super) hasher: DigestHasher,
}

impl Record {
    pub(super) fn empty(algorithm: Algorithm) -> Self {
        Self { offset: 0, inode: 0, hasher: DigestHasher::new(algorithm) }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let algorithm = self.hasher.algorithm().as_str();
        let body = format!(
            "{FORM} {algorithm} {} {} {}",
            self.offset,
            self.inode,
            BASE64.encode(self.hasher.save())
        );
        let checksum = Digest::of(Algorithm::Sha256, body.as_bytes());
        format!("{body} {checksum}").into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (body, checksum) = text.rsplit_once(' ')?;
        if Digest::of(Algorithm::Sha256, body.as_bytes()).as_str() != checksum {
            return None;
        }
        let mut fields = body.split(' ');
        if fields.next()? != FORM {
            return None;
        }
        let algorithm = fields.next()?.parse().ok()?;
        let offset = fields.next()?.parse().ok()?;
        let inode = fields.next()?.parse().ok()?;
        let hasher = DigestHasher::restore(algorithm, &BASE64.decode(fields.next()?).ok()?)?;
        fields.next().is_none().then_some(Self { offset, inode, hasher })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_and_a_torn_one_is_refused() {
        for algorithm in Algorithm::ALL {
            let mut record = Record::empty(algorithm);
            record.hasher.update(b"hello");
            record.offset = 5;
            record.inode = 7;
            let bytes = record.encode();
            let read = Record::decode(&bytes).expect("a record just made");
            assert_eq!((read.offset, read.inode), (5, 7));
            assert_eq!(read.hasher.finish(), Digest::of(algorithm, b"hello"));
            for length in 0..bytes.len() {
                assert!(Record::decode(&bytes[..length]).is_none(), "cut at {length}");
                let mut flipped = bytes.clone();
                flipped[length] ^= 1;
                assert!(Record::decode(&flipped).is_none(), "flipped at {length}");
            }
        }
    }
}
