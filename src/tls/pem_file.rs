//! Reading PEM files within a limit, and making them appear whole: the only place in `tls` that writes.
//!
//! A file is staged under a hidden name in the same directory, with its final mode from the first byte, and
//! synced. Then it is linked (never over an existing file) or renamed (over the old one), and the directory
//! is synced.
#![expect(clippy::disallowed_methods, reason = "these files are not on the image volume")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use super::TlsError;

/// Far above any chain or key; keeps a wrong path (a device, a blob) from filling memory.
const MAXIMUM_BYTES: u64 = 1024 * 1024;

/// Who may read the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Certificates: mode 0644 (less the umask).
    Public,
    /// Private keys: mode 0600.
    OwnerOnly,
}

/// Reads a whole file of at most 1 MiB.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let file = File::open(path).map_err(TlsError::read(path))?;
    let mut bytes = Vec::new();
    file.take(MAXIMUM_BYTES + 1).read_to_end(&mut bytes).map_err(TlsError::read(path))?;
    if bytes.len() as u64 > MAXIMUM_BYTES {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Like [`read`], but `None` when there is no such file.
pub(super) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, TlsError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(TlsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A complete, synced file that has not got its name yet; removed when dropped unpublished.
pub(super) struct Staged {
    temporary: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// Writes `content` beside `target`.
    pub(super) fn write(target: &Path, content: &str, access: Access) -> Result<Self, TlsError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(TlsError::Random)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.{:016x}.tmp", u64::from_ne_bytes(random)));
        let mode = match access {
            Access::Public => 0o644,
            Access::OwnerOnly => 0o600,
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)
            .map_err(TlsError::write(target))?;
        let staged = Self { temporary, target: target.to_owned() };
        keep_owner(&file, target);
        file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(TlsError::write(target))?;
        Ok(staged)
    }

    /// Gives the file its name unless something has it already. True if it is ours now.
    pub(super) fn publish_new(self) -> Result<bool, TlsError> {
        match fs::hard_link(&self.temporary, &self.target) {
            Ok(()) => sync_directory(&self.target).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(TlsError::write(&self.target)(error)),
        }
    }

    /// Gives the file its name, in place of what had it. The caller syncs the directory afterwards.
    pub(super) fn publish_over(self) -> Result<(), TlsError> {
        fs::rename(&self.temporary, &self.target).map_err(TlsError::write(&self.target))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a rename there is nothing left, and that is fine.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Makes the entries of the directory that holds `file` survive a power loss.
pub(super) fn sync_directory(file: &Path) -> Result<(), TlsError> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory).and_then(|handle| handle.sync_all()).map_err(TlsError::write(directory))
}

/// A renewal run by root must not take the key away from the account the server runs as.
fn keep_owner(file: &File, target: &Path) {
    if let (Ok(old), Ok(new)) = (fs::metadata(target), file.metadata())
        && (old.uid(), old.gid()) != (new.uid(), new.gid())
    {
        // Only root may do this; for anyone else the new file simply belongs to them.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
}
