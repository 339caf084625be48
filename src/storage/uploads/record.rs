//! What of an upload was acknowledged: how many bytes, in which file, and the state of their hash.
//!
//! The file has two places, written in turn by whoever has the upload: while one is written the other holds what was
//! acknowledged before, so that a crash, or a reader at that moment, finds one of them whole. It is not flushed: after
//! a power cut of the file server neither may be, and the upload starts again.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as BASE64};

use crate::oci::{Algorithm, Digest, DigestHasher};

/// The form of the hash state belongs to `sha2` 0.11; a record of another form is not understood, and the upload
/// starts again.
const FORM: &str = "pakhuis-upload-2";

/// Size of a place, in bytes.
const PLACE: usize = 1024;

/// What was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Which record of the upload it is, counted from 0.
    pub(super) sequence: u64,
    /// How many bytes were acknowledged.
    pub(super) offset: u64,
    /// The inode of the file they are in: a record that a slow server writes after its upload was taken over
    /// does not speak of the new file. 0 while there are none.
    pub(super) inode: u64,
    /// The hash of those bytes.
    pub(super) hasher: DigestHasher,
}

impl Default for Record {
    fn default() -> Self {
        Self::empty(Algorithm::Sha256)
    }
}

impl Record {
    pub(super) fn empty(algorithm: Algorithm) -> Self {
        Self { sequence: 0, offset: 0, inode: 0, hasher: DigestHasher::new(algorithm) }
    }

    /// The two places of a new file, of which this record has the first.
    pub(super) fn encode_alone(&self) -> Vec<u8> {
        let mut places = self.encode();
        places.resize(2 * PLACE, b'\n');
        places
    }

    /// Writes the record to its place, and gives the file another size than the record before.
    ///
    /// A client of NFS 3 knows by size and times whether what it remembers of a file is what the file says. The times
    /// of two records within one tick of the file server's clock are the same: then it goes on reading the first.
    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        let (place, both) = (PLACE as u64, 2 * PLACE as u64);
        // The size first: when there is no room for it, what was acknowledged before stays as it was.
        match self.sequence % place {
            0 => file.set_len(both)?,
            more => file.write_all_at(b"\n", both + more - 1)?,
        }
        file.write_all_at(&self.encode(), self.sequence % 2 * place)
    }

    /// Reads the record that speaks of the file with this inode: see [`Record::decode_last`].
    pub(super) fn read(file: &File, inode: u64) -> io::Result<Option<Self>> {
        let mut bytes = Vec::with_capacity(2 * PLACE);
        file.take(2 * PLACE as u64).read_to_end(&mut bytes)?;
        Ok(Self::decode_last(&bytes, Some(inode)))
    }

    /// The last record that speaks of the file with this inode, when one is given, or of none; the last of all when
    /// there is no such; `None` when none is whole.
    pub(super) fn decode_last(places: &[u8], inode: Option<u64>) -> Option<Self> {
        let records = places.chunks(PLACE).filter_map(Self::decode);
        records.max_by_key(|record| {
            let fits = inode.is_none_or(|inode| record.offset == 0 || record.inode == inode);
            (fits, record.sequence)
        })
    }

    fn encode(&self) -> Vec<u8> {
        let algorithm = self.hasher.algorithm().as_str();
        let hash = BASE64.encode(self.hasher.save());
        let Self { sequence, offset, inode, .. } = self;
        let body = format!("{FORM} {sequence} {algorithm} {offset} {inode} {hash}");
        let checksum = Digest::of(Algorithm::Sha256, body.as_bytes());
        let mut place = format!("{body} {checksum}").into_bytes();
        place.resize(PLACE, b'\n');
        place
    }

    fn decode(place: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(place).ok()?.trim_end_matches('\n');
        let (body, checksum) = text.rsplit_once(' ')?;
        if Digest::of(Algorithm::Sha256, body.as_bytes()).as_str() != checksum {
            return None;
        }
        let mut fields = body.split(' ');
        if fields.next()? != FORM {
            return None;
        }
        let sequence = fields.next()?.parse().ok()?;
        let algorithm = fields.next()?.parse().ok()?;
        let offset = fields.next()?.parse().ok()?;
        let inode = fields.next()?.parse().ok()?;
        let hasher = DigestHasher::restore(algorithm, &BASE64.decode(fields.next()?).ok()?)?;
        fields.next().is_none().then_some(Self { sequence, offset, inode, hasher })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(algorithm: Algorithm, sequence: u64, bytes: &[u8], inode: u64) -> Record {
        let mut hasher = DigestHasher::new(algorithm);
        hasher.update(bytes);
        Record { sequence, offset: bytes.len() as u64, inode, hasher }
    }

    #[test]
    fn a_record_survives_and_a_torn_one_is_refused() {
        for algorithm in Algorithm::ALL {
            let bytes = record(algorithm, 3, b"hello", 7).encode();
            assert_eq!(bytes.len(), PLACE, "a place is large enough for every algorithm");
            let read = Record::decode(&bytes).expect("a record just made");
            assert_eq!((read.sequence, read.offset, read.inode), (3, 5, 7));
            assert_eq!(read.hasher.finish(), Digest::of(algorithm, b"hello"));
            let length = bytes.trim_ascii_end().len();
            for length in 0..length {
                assert!(Record::decode(&bytes[..length]).is_none(), "cut at {length}");
                let mut flipped = bytes.clone();
                flipped[length] ^= 1;
                assert!(Record::decode(&flipped).is_none(), "flipped at {length}");
            }
        }
    }

    #[test]
    fn while_one_place_is_written_the_other_holds() {
        let file = tempfile::tempfile().unwrap();
        let read = || {
            use std::io::Seek;
            (&file).rewind().unwrap();
            Record::read(&file, 7).unwrap().map(|record| (record.sequence, record.offset))
        };
        assert_eq!(read(), None);
        record(Algorithm::Sha512, 0, b"", 0).write(&file).unwrap();
        record(Algorithm::Sha512, 1, b"one", 7).write(&file).unwrap();
        assert_eq!(read(), Some((1, 3)));
        record(Algorithm::Sha512, 2, b"one two", 7).write(&file).unwrap();
        assert_eq!(read(), Some((2, 7)));
        // Torn while the next is written.
        file.write_all_at(b"pakhuis-upload-2 3 sha", PLACE as u64).unwrap();
        assert_eq!(read(), Some((2, 7)));
        file.write_all_at(b"pakhuis-upload-2 4 sha", 0).unwrap();
        assert_eq!(read(), None);
    }

    #[test]
    fn each_record_gives_the_file_another_size() {
        let file = tempfile::tempfile().unwrap();
        let mut before = 0;
        for sequence in 0..3 * PLACE as u64 {
            record(Algorithm::Sha256, sequence, b"", 7).write(&file).unwrap();
            let size = file.metadata().unwrap().len();
            assert!(
                size != before && (2 * PLACE..3 * PLACE).contains(&(size as usize)),
                "{sequence}: {size}"
            );
            before = size;
        }
    }

    #[test]
    fn a_record_of_another_file_counts_only_when_there_is_no_other() {
        let places =
            [record(Algorithm::Sha256, 4, b"taken", 8), record(Algorithm::Sha256, 5, b"slow one", 7)];
        let places: Vec<u8> = places.iter().flat_map(Record::encode).collect();
        let offset = |inode| Record::decode_last(&places, inode).map(|record| record.offset);
        assert_eq!((offset(Some(8)), offset(Some(7)), offset(None)), (Some(5), Some(8), Some(8)));
        assert_eq!(offset(Some(9)), Some(8));
    }
}
