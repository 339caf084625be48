//! Writing certificate and key files: whole or not at all, keys readable by their owner only from the first byte.
#![expect(clippy::disallowed_methods, reason = "these files are not on the image volume")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::TlsError;

/// Mode of a certificate.
pub(super) const PUBLIC: u32 = 0o644;
/// Mode of a private key.
pub(super) const PRIVATE: u32 = 0o600;

/// Replaces `path`.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let temporary = write_temporary(path, text, mode)?;
    let renamed = fs::rename(&temporary, path).map_err(|source| error("write", path, source));
    finish(path, &temporary, renamed)
}

/// Makes `path` unless it is there. `Ok(false)` when it was: of two that start at once, one makes it.
pub(super) fn create(path: &Path, text: &str, mode: u32) -> Result<bool, TlsError> {
    let temporary = write_temporary(path, text, mode)?;
    let linked = match fs::hard_link(&temporary, path) {
        Ok(()) => Ok(true),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(error("write", path, source)),
    };
    finish(path, &temporary, linked)
}

/// Reads a file as text; `None` when it is not there.
pub(super) fn read(path: &Path) -> Result<Option<String>, TlsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(error("read", path, source)),
    }
}

fn write_temporary(path: &Path, text: &str, mode: u32) -> Result<PathBuf, TlsError> {
    let directory = directory_of(path);
    fs::create_dir_all(directory).map_err(|source| error("make the directory of", path, source))?;
    let temporary = directory.join(format!(".{}.tmp", Uuid::new_v4().simple()));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| error("write", path, source))?;
    Ok(temporary)
}

fn finish<T>(path: &Path, temporary: &Path, result: Result<T, TlsError>) -> Result<T, TlsError> {
    let _ = fs::remove_file(temporary);
    let value = result?;
    let synced = File::open(directory_of(path)).and_then(|directory| directory.sync_all());
    synced.map_err(|source| error("flush the directory of", path, source))?;
    Ok(value)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn error(operation: &'static str, path: &Path, source: io::Error) -> TlsError {
    TlsError::Io { operation, path: path.to_path_buf(), source }
}
