//! The only place that makes the name of a file on the volume appear, change or disappear; directories are made by
//! `directories`.
//!
//! A file is written under a temporary name, flushed, and renamed to its own: a reader sees all of it or nothing. That
//! the name survives a power cut takes flushes of the directories above (`settled`). On NFS the outcome of a
//! rename is looked up after an error, since a reply that was lost reports a failure for a success
//! (rename(2), BUGS). Looking is `lookup`'s; what is only in the way is removed by `removal`.
#![expect(clippy::disallowed_methods, reason = "this is the module the methods are reserved for")]

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use uuid::Uuid;

use super::{
    directories,
    error::{IoContext, StorageError},
    file_identity::FileIdentity,
    leftovers::Leftover,
    lookup::{self, is_stale, open_directory, open_directory_again},
    name_locks,
};

/// Modes of new files: as the umask has it, as registry:2 makes them; or for a secret.
const BY_UMASK: u32 = 0o666;
const OWNER_ONLY: u32 = 0o600;

/// How often a step is tried again when another server removed a directory under it.
const ATTEMPTS: usize = 20;

/// What became of a name that was to hold some bytes.
#[derive(Debug)]
pub(super) struct Put {
    /// The directory it is in.
    pub(super) directory: File,
    /// The file that has the bytes now.
    pub(super) file: FileIdentity,
    /// The file that the name led to before: the same one when it had the bytes already.
    pub(super) before: Option<FileIdentity>,
    /// What that file said, at most a byte more than what the name says now.
    pub(super) replaced: Option<Vec<u8>>,
}

impl Put {
    /// Whether the bytes were there already, so that nothing was done.
    pub(super) fn was_there(&self) -> bool {
        self.before == Some(self.file)
    }
}

/// Flushes a directory: the names in it survive a power cut. Free on NFS, where names are synchronous. Returns its
/// inode.
pub(super) fn sync_directory(directory: &Path) -> Result<u64, StorageError> {
    let file = open_directory_again(directory)?;
    file.sync_all().context("flush", directory)?;
    Ok(file.metadata().context("look up", directory)?.ino())
}

/// Flushes a directory, or, when a concurrent delete took it away, the one above it: then that is where the
/// change is.
pub(super) fn sync_what_is_left(directory: &Path) -> Result<(), StorageError> {
    for ancestor in directory.ancestors().take(4) {
        match sync_directory(ancestor) {
            Err(StorageError::NotFound) => {}
            result => return result.map(drop),
        }
    }
    Err(StorageError::NotFound)
}

/// Makes a directory of the tree itself, and those above it, each one durable before the next. Only when a volume is
/// opened.
pub(super) fn make_tree(directory: &Path) -> Result<(), StorageError> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make_tree(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).context("make directory", directory)
        }
        _ => directory.parent().map_or(Ok(()), |parent| sync_directory(parent).map(drop)),
    }
}

/// Creates a file under a name that nobody else uses, for reading and writing. Not exclusively: on NFS that would be a
/// call more for each file.
pub(super) fn create_unique(path: &Path) -> Result<File, StorageError> {
    create_in(None, path, BY_UMASK)
}

/// Makes `directory/name` hold `bytes`, whole at every instant, with the directories it needs. The bytes are flushed,
/// the names are not: that is for `Storage::settle_put`.
pub(super) fn put(root: &Path, directory: &Path, name: &str, bytes: &[u8]) -> Result<Put, StorageError> {
    let path = directory.join(name);
    let mut attempt = 0;
    loop {
        match try_put(root, directory, &path, bytes) {
            // A tag that is deleted meanwhile takes its directories away.
            Err(error) if attempt < ATTEMPTS && error.is_of_a_removed_directory() => attempt += 1,
            result => return result,
        }
    }
}

/// Works in one directory, opened once: when another takes its place meanwhile, this fails and nothing is flushed in
/// the wrong one.
fn try_put(root: &Path, directory: &Path, path: &Path, bytes: &[u8]) -> Result<Put, StorageError> {
    let is_new = directories::make(root, directory)?;
    let opened = open_directory_again(directory)?;
    let found = if is_new { None } else { lookup::read_in(&opened, path, longest(bytes)).ok() };
    let before = found.as_ref().map(|found| found.identity);
    // Whether they are flushed, whoever wrote them, is for `Storage::settle_put` too.
    if let Some(found) = found.as_ref().filter(|found| found.bytes == bytes) {
        return Ok(Put { directory: opened, file: found.identity, before, replaced: None });
    }
    let file = replace(Some(&opened), path, bytes, true)?;
    Ok(Put { directory: opened, file, before, replaced: found.map(|found| found.bytes) })
}

/// Adds bytes to the end of a file that this process alone writes to, and makes it when it is not there. Flushed, but
/// not its name: what is kept like that may lack its end after a power cut.
pub(super) fn append(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::from_raw_mode(BY_UMASK));
    let mut file = opened.map(File::from).context("open", path)?;
    file.write_all(bytes).context("write", path)?;
    file.sync_data().context("flush", path)
}

/// Makes `directory/name` hold `bytes`, durably, unless the name is there already; readable by the owner only.
pub(super) fn put_secret_once(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
    put_new(directory, name, bytes, OWNER_ONLY, true)?;
    sync_directory(directory).map(drop)
}

/// As [`put`], in a directory that is there, and not durable: for what may be lost in a power cut.
pub(super) fn put_volatile(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
    replace(None, &directory.join(name), bytes, false).map(drop)
}

/// Makes `directory/name` hold `bytes`, whole, unless the name is there already. In a directory that is there, and not
/// durable.
pub(super) fn put_if_absent(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
    put_new(directory, name, bytes, BY_UMASK, false)
}

fn put_new(directory: &Path, name: &str, bytes: &[u8], mode: u32, durable: bool) -> Result<(), StorageError> {
    let path = directory.join(name);
    let temporary = temporary_name(directory, &path);
    let written = write_new(None, &temporary, bytes, mode, durable);
    let linked = written.and_then(|_| link_if_absent(&temporary, &path));
    remove_leftover(&temporary);
    linked
}

/// Gives a new file with these bytes the name `path`, in `directory` when that is open. Returns which file it is.
fn replace(
    directory: Option<&File>,
    path: &Path,
    bytes: &[u8],
    durable: bool,
) -> Result<FileIdentity, StorageError> {
    let temporary = temporary_name(path.parent().unwrap_or(path), path);
    let written = write_new(directory, &temporary, bytes, BY_UMASK, durable);
    let renamed = written.and_then(|file| {
        rename_in(directory, &temporary, path, || has_bytes(directory, path, bytes))?;
        // A rename changes the identity.
        Ok(FileIdentity::from(&file.metadata().context("look up", path)?))
    });
    if renamed.is_err() {
        // The first error is the one to report.
        remove_leftover(&temporary);
    }
    renamed
}

/// Makes a file with these bytes under a name that nobody else uses.
fn write_new(
    directory: Option<&File>,
    path: &Path,
    bytes: &[u8],
    mode: u32,
    durable: bool,
) -> Result<File, StorageError> {
    let mut file = create_in(directory, path, mode)?;
    file.write_all(bytes).context("write", path)?;
    if durable {
        file.sync_all().context("flush", path)?;
    }
    Ok(file)
}

fn create_in(directory: Option<&File>, path: &Path, mode: u32) -> Result<File, StorageError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode);
    let opened = match directory {
        Some(directory) => rustix::fs::openat(directory, name_of(path), flags, mode),
        None => rustix::fs::open(path, flags, mode),
    };
    opened.map(File::from).context("create", path)
}

fn rename_in(
    directory: Option<&File>,
    from: &Path,
    to: &Path,
    happened: impl Fn() -> bool,
) -> Result<(), StorageError> {
    let Some(directory) = directory else { return rename(from, to, happened) };
    let renamed = {
        let _changing = name_locks::changing(to);
        rustix::fs::renameat(directory, name_of(from), directory, name_of(to))
    };
    match renamed {
        Err(error) if !happened() => Err(error).context("rename to", to),
        _ => Ok(()),
    }
}

fn name_of(path: &Path) -> &Path {
    path.file_name().map_or(path, Path::new)
}

/// How much of a file is read to see that it is not these bytes.
fn longest(bytes: &[u8]) -> u64 {
    bytes.len() as u64 + 1
}

/// Whether a name leads to a file with these bytes.
fn has_bytes(directory: Option<&File>, path: &Path, bytes: &[u8]) -> bool {
    let found = match directory {
        Some(directory) => lookup::read_in(directory, path, longest(bytes)),
        None => path
            .parent()
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
            .and_then(open_directory)
            .and_then(|directory| lookup::read_in(&directory, path, longest(bytes))),
    };
    found.is_ok_and(|found| found.bytes == bytes)
}

/// `.link.<random>.tmp`: random, since process ids repeat across containers and hosts.
fn temporary_name(directory: &Path, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    directory.join(format!(".{name}.{}.tmp", Uuid::new_v4().simple()))
}

/// Renames; after an error, `happened` is asked whether it took place all the same. A source that is not there is
/// believed only after its directory was opened afresh: this client may remember its absence.
pub(super) fn rename(from: &Path, to: &Path, happened: impl Fn() -> bool) -> Result<(), StorageError> {
    let rename = || {
        let _changing = name_locks::changing(to);
        fs::rename(from, to)
    };
    let renamed = match rename() {
        Err(error) if is_stale(&error) && !happened() => {
            // What opening it says is said by the second try as well.
            from.parent().map(lookup::look_again);
            rename()
        }
        result => result,
    };
    match renamed {
        Err(error) if !happened() => Err(error).context("rename to", to),
        _ => Ok(()),
    }
}

/// Removes a file. `Ok(false)` when it was not there, asked of freshly opened directories below `root`.
pub(super) fn remove(root: &Path, path: &Path) -> Result<bool, StorageError> {
    let remove = || {
        let _changing = name_locks::changing(path);
        fs::remove_file(path)
    };
    match lookup::fresh(root, path, remove) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("remove", path),
    }
}

/// Removes a file that is only in the way and whose name nobody else uses; later, when it cannot be now.
pub(super) fn remove_leftover(path: &Path) {
    Leftover::File(path.to_path_buf()).clear();
}

/// Gives a file, if it is there, a second name unless that name is taken.
pub(super) fn link_if_absent(from: &Path, to: &Path) -> Result<(), StorageError> {
    match fs::hard_link(from, to) {
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
            Ok(())
        }
        result => result.context("link", to),
    }
}

/// Moves a file to a name that is free. `Ok(false)` when it is not: both files stay then.
pub(super) fn move_if_absent(from: &Path, to: &Path) -> Result<bool, StorageError> {
    let same = || Some(fs::metadata(from).ok()?.ino() == fs::metadata(to).ok()?.ino());
    match fs::hard_link(from, to) {
        // A reply that was lost reports the name we just made as taken.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && same() != Some(true) => Ok(false),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error).context("link", to),
        _ => {
            let _ = fs::remove_file(from);
            Ok(true)
        }
    }
}
