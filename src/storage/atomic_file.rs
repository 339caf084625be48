//! The only place that makes a name on the volume appear, change or disappear.
//!
//! A file is written under a temporary name, flushed, and renamed to its own: a reader sees all of it or nothing. That
//! the name survives a power cut takes flushes of the directories above (`settled`). On NFS the outcome of a
//! rename is looked up after an error, since a reply that was lost reports a failure for a success
//! (rename(2), BUGS), and an absence is believed only after the directories above were opened afresh: a client
//! may answer `ENOENT` from its cache for a minute after another client made the file.
#![expect(clippy::disallowed_methods, reason = "this is the module the methods are reserved for")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use uuid::Uuid;

use super::{
    error::{IoContext, StorageError},
    file_identity::FileIdentity,
    leftovers::Leftover,
    name_locks,
};

/// How often a step is tried again when another server removed a directory under it.
const ATTEMPTS: usize = 20;

/// How often a name that is being replaced is waited for: 20, 40, 80 ms.
const REPLACEMENT_WAITS: u32 = 3;

/// Largest link or record read; larger is damage.
const SMALL_FILE_LIMIT: u64 = 4096;

/// Flushes a directory: the names in it survive a power cut. Free on NFS, where names are synchronous. Returns its
/// inode.
pub(super) fn sync_directory(directory: &Path) -> Result<u64, StorageError> {
    let file = open_again(directory, || open_directory(directory)).context("open", directory)?;
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

/// Opens a directory, which makes an NFS client ask the server for its attributes.
fn open_directory(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(directory, flags, Mode::empty())?))
}

/// Makes a directory and those above it, but neither `root` nor what is directly below it: where those are gone, the
/// share is, and what would be made is on another disk. Flushes nothing.
pub(super) fn make_directories(root: &Path, directory: &Path) -> Result<(), StorageError> {
    match fs::create_dir(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = directory.parent().filter(|parent| parent.starts_with(root) && *parent != root);
            let above = parent.and_then(Path::parent).filter(|above| above.starts_with(root));
            let (Some(parent), Some(above)) = (parent, above) else {
                return Err(volume_gone()).context("find", root);
            };
            if above == root {
                open_directory(parent).map_err(|_| volume_gone()).context("find", parent)?;
            } else {
                make_directories(root, parent)?;
            }
            match fs::create_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    Err(error).context("make directory", directory)
                }
                _ => Ok(()),
            }
        }
        Err(error) => Err(error).context("make directory", directory),
    }
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

fn volume_gone() -> io::Error {
    io::Error::other("the volume is not there; is the share mounted?")
}

/// Makes one directory in an existing one, without flushing. `Ok(false)` when the parent is not there.
pub(super) fn make_directory(directory: &Path) -> Result<bool, StorageError> {
    match fs::create_dir(directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("make directory", directory),
    }
}

/// Creates a file that must not exist yet, for reading and writing.
pub(super) fn create_new(path: &Path) -> Result<File, StorageError> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path).context("create", path)
}

/// Makes `directory/name` hold `bytes`, whole at every instant, with the directories it needs. The bytes are flushed,
/// the names are not: that is for `Storage::settle`.
pub(super) fn put(root: &Path, directory: &Path, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
    let path = directory.join(name);
    let mut attempt = 0;
    loop {
        match try_put(root, directory, &path, bytes) {
            // A tag that is deleted meanwhile takes its directories away.
            Err(StorageError::NotFound) if attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

fn try_put(root: &Path, directory: &Path, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    match fs::create_dir(directory) {
        Ok(()) => {}
        // Bytes are flushed before they have this name, whoever wrote them.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if open_small(path).as_deref() == Some(bytes) {
                return Ok(());
            }
        }
        Err(_) => make_directories(root, directory)?,
    }
    replace(directory, path, bytes, true)
}

/// Makes `directory/name` hold `bytes` unless the name is there already, readable by the owner only.
pub(super) fn put_once(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
    let path = directory.join(name);
    let temporary = temporary_name(directory, &path);
    let mut options = OpenOptions::new();
    let written =
        options.write(true).create_new(true).mode(0o600).open(&temporary).context("create", &temporary);
    let linked = written.and_then(|mut file| {
        file.write_all(bytes).and_then(|()| file.sync_all()).context("write", &temporary)?;
        match fs::hard_link(&temporary, &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error).context("link", &path),
            _ => Ok(()),
        }
    });
    remove_leftover(&temporary);
    linked.and_then(|()| sync_directory(directory).map(drop))
}

/// As [`put`], in a directory that is there, and not durable: for what may be lost in a power cut.
pub(super) fn put_volatile(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
    replace(directory, &directory.join(name), bytes, false)
}

fn replace(directory: &Path, path: &Path, bytes: &[u8], durable: bool) -> Result<(), StorageError> {
    let temporary = temporary_name(directory, path);
    let written = create_new(&temporary).and_then(|mut file| {
        file.write_all(bytes).context("write", &temporary)?;
        if durable { file.sync_all().context("flush", &temporary) } else { Ok(()) }
    });
    let renamed =
        written.and_then(|()| rename(&temporary, path, || open_small(path).as_deref() == Some(bytes)));
    if renamed.is_err() {
        // The first error is the one to report.
        remove_leftover(&temporary);
    }
    renamed
}

/// `.link.<random>.tmp`: random, since process ids repeat across containers and hosts.
fn temporary_name(directory: &Path, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    directory.join(format!(".{name}.{}.tmp", Uuid::new_v4().simple()))
}

/// What a file holds that this module wrote whole, so at most a manifest; `None` when it cannot be read.
fn open_small(path: &Path) -> Option<Vec<u8>> {
    read_current(path, u64::MAX).ok()
}

/// Reads what a name leads to now.
///
/// The directory is opened first, which makes an NFS client ask whether its names have changed: it opens a file
/// that it knows by handle (NFS 4.1 and later), and the file that a rename has replaced goes on answering for as
/// long as anybody has it open. Measured: a tag that is pulled all the time answered its old digest for 0.1 to
/// 0.3 s after a push through another server.
fn read_current(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let _reading = name_locks::reading(path);
    let directory = open_directory(directory)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&directory, name, flags, Mode::empty())?);
    let mut bytes = Vec::with_capacity(160);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
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
            let _ = from.parent().map(open_directory);
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
    match fresh(root, path, remove) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("remove", path),
    }
}

/// Removes a file that is only in the way and whose name nobody else uses; later, when it cannot be now.
pub(super) fn remove_leftover(path: &Path) {
    Leftover::File(path.to_path_buf()).clear();
}

/// Removes a file. It need not be there.
pub(super) fn try_remove_file(path: &Path) -> io::Result<()> {
    unless(&[io::ErrorKind::NotFound], fs::remove_file(path))
}

/// Removes a directory and all in it. It need not be there. Never follows a symbolic link.
pub(super) fn try_remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        // A part of it may have been removed by somebody else, or this client remembers its absence.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map(look_again);
            unless(&[io::ErrorKind::NotFound], fs::remove_dir_all(path))
        }
        result => result,
    }
}

/// Removes a directory if it is there and empty; a concurrent writer's file keeps it.
pub(super) fn try_remove_directory(path: &Path) -> io::Result<()> {
    unless(&[io::ErrorKind::NotFound, io::ErrorKind::DirectoryNotEmpty], fs::remove_dir(path))
}

fn unless(fine: &[io::ErrorKind], result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if fine.contains(&error.kind()) => Ok(()),
        result => result,
    }
}

/// Removes a directory if it is empty; a concurrent writer's file keeps it.
pub(super) fn remove_directory_if_empty(path: &Path) {
    let _ = fs::remove_dir(path);
}

/// Does `operation` on `path`; on "not found", opens the directories from `root` down to it afresh and does
/// it once more. Without this, a client's cached absence is a false 404 for up to a minute.
///
/// Nothing is absent from a volume that is not there: then the error is another one.
pub(super) fn fresh<T>(root: &Path, path: &Path, operation: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match operation() {
        Err(error) if is_stale(&error) => {
            refresh(root, path)?;
            operation()
        }
        result => result,
    }
}

fn is_stale(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

fn refresh(root: &Path, path: &Path) -> io::Result<()> {
    let Ok(below) = path.strip_prefix(root) else { return Ok(()) };
    let mut directory = root.to_path_buf();
    for (depth, component) in below.components().enumerate() {
        match open_directory(&directory) {
            Ok(_) => directory.push(component),
            // `blobs` and `repositories` are as old as the volume.
            Err(_) if depth <= 1 => return Err(volume_gone()),
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// Makes an NFS client ask the server whether the names in a directory have changed, if it is there.
pub(super) fn look_again(directory: &Path) {
    let _ = open_directory(directory);
}

/// Opens a directory that must be there.
pub(super) fn require_directory(directory: &Path) -> Result<(), StorageError> {
    open_directory(directory).map(drop).map_err(|_| volume_gone()).context("find", directory)
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

/// Removes files that a crash left half-written in a directory: hidden ones that end in `.tmp`, older than an hour,
/// so that none is a writer's of now on any server whose clock is not far off; as old, the `.nfs` files of a client
/// that died; and the temporary files of registry 3, which never serves the volume at the same time.
pub(super) fn remove_old_temporaries(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| time.elapsed().ok());
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_temporary = name.starts_with('.') && name.ends_with(".tmp") || name.starts_with(".nfs");
        let of_registry_3 = name.starts_with("link.") && name.ends_with(".tmp");
        if of_registry_3 || is_temporary && old.is_some_and(|age| age.as_secs() > 3600) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Reads a link or another small file whole. `None` when it is not there, freshly asked.
pub(super) fn read_small(root: &Path, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    let mut waited = 0;
    loop {
        match fresh(root, path, || read_current(path, SMALL_FILE_LIMIT)) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(error) if waited < REPLACEMENT_WAITS && is_stale(&error) && is_being_replaced(path) => {
                waited += 1;
                std::thread::sleep(Duration::from_millis(10 << waited));
            }
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(error).context("read", path),
        }
    }
}

/// Whether another process of a client is replacing the name, or removing it: see [`name_locks`].
fn is_being_replaced(path: &Path) -> bool {
    let entries = path.parent().and_then(|directory| fs::read_dir(directory).ok());
    entries
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().as_encoded_bytes().starts_with(b".nfs"))
}

/// A file where a directory should be, or the other way round, is damage that reads as absence.
fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

/// Opens a file for reading. `None` when it is not there, freshly asked.
pub(super) fn open(root: &Path, path: &Path) -> Result<Option<File>, StorageError> {
    match fresh(root, path, || File::open(path)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error).context("open", path),
    }
}

/// Which file `directory/name` is, asked through a freshly opened directory: a path lookup would go on seeing a file
/// that another client renamed away. `None` when it is not there, or is no file.
pub(super) fn identity_in(
    root: &Path,
    directory: &Path,
    name: &str,
) -> Result<Option<FileIdentity>, StorageError> {
    let stat = || {
        let directory = open_directory(directory)?;
        Ok(rustix::fs::statat(&directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?)
    };
    match fresh(root, directory, stat) {
        Ok(stat) => Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file().then(|| (&stat).into())),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error).context("look up", directory),
    }
}

/// The names in a directory, unsorted; `None` when it is not there. Kinds are not asked: on NFS that is one
/// request an entry, and the tree says what each must be.
pub(super) fn names(root: &Path, directory: &Path) -> Result<Option<Vec<String>>, StorageError> {
    let list =
        || fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
    match fresh(root, directory, list) {
        // What is not UTF-8 is not ours.
        Ok(names) => Ok(Some(names.into_iter().filter_map(|name| name.into_string().ok()).collect())),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error).context("list", directory),
    }
}

/// Opens a file that is there for writing.
pub(super) fn open_to_write(path: &Path) -> Result<File, StorageError> {
    open_again(path, || OpenOptions::new().read(true).write(true).open(path)).context("open", path)
}

/// Opens what must be there: an absence is believed only after the directory above was opened afresh.
fn open_again(path: &Path, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
    match open() {
        Err(error) if is_stale(&error) => {
            // What opening it says is said by the second try as well.
            let _ = path.parent().map(open_directory);
            open()
        }
        result => result,
    }
}
