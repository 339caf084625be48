//! Which file it is, and whether it is still as it was: what a `stat` says without reading a byte.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};

/// A file at a moment. Two that are equal have the same bytes, unless the medium changed them.
///
/// A rename changes `changed`, and so does every write: a file that was set aside, or replaced, never passes for
/// the one that was looked at before, not even while an NFS client still finds it under its old name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    /// In bytes.
    pub size: u64,
    /// Seconds and nanoseconds, by the file server's clock.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileIdentity {
    /// Whether it is the same file with the same bytes under whatever name: a rename is no change here.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        self.is_inode(other.inode)
            && self.device == other.device
            && self.size == other.size
            && self.modified == other.modified
    }

    pub(super) fn is_inode(&self, inode: u64) -> bool {
        self.inode == inode
    }

    pub(super) fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether its times may be of a file system that keeps no parts of a second.
    pub(super) fn has_whole_seconds(&self) -> bool {
        self.modified.1 == 0 && self.changed.1 == 0
    }

    /// When its bytes were last written, by the file server's clock.
    pub fn modified(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.modified;
        let since = |seconds: u64| Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or_default());
        match u64::try_from(seconds) {
            Ok(seconds) => SystemTime::UNIX_EPOCH + since(seconds),
            Err(_) => SystemTime::UNIX_EPOCH,
        }
    }

    /// When its bytes were last written, in seconds since 1970, by the file server's clock.
    pub fn modified_seconds(&self) -> i64 {
        self.modified.0
    }
}

impl From<&Metadata> for FileIdentity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[expect(clippy::allow_attributes, reason = "the types of these fields differ between platforms")]
impl From<&rustix::fs::Stat> for FileIdentity {
    #[allow(clippy::useless_conversion, clippy::cast_lossless, clippy::unnecessary_cast)]
    fn from(stat: &rustix::fs::Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

impl From<&rustix::fs::Statx> for FileIdentity {
    fn from(stat: &rustix::fs::Statx) -> Self {
        let time = |time: &rustix::fs::StatxTimestamp| (time.tv_sec, i64::from(time.tv_nsec));
        Self {
            device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            size: stat.stx_size,
            modified: time(&stat.stx_mtime),
            changed: time(&stat.stx_ctime),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{AtFlags, StatxFlags};

    use super::*;

    #[test]
    fn a_file_is_the_same_however_it_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let opened = std::fs::File::open(directory.path()).unwrap();
        let expected = FileIdentity::from(&opened.metadata().unwrap());
        let found = rustix::fs::statx(&opened, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).unwrap();
        assert_eq!(FileIdentity::from(&found), expected);
        assert_eq!(FileIdentity::from(&rustix::fs::fstat(&opened).unwrap()), expected);
    }
}
