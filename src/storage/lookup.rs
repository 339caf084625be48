//! Looking at names on the volume, so that what another client changed is seen at once.
//!
//! An NFS client may answer `ENOENT` from its cache for a minute after another client made a file, and go on seeing
//! one that another renamed away. Opening a directory makes it ask the server whether the names in it have changed.
//! So what must be current is looked up in a directory opened for it: what such a directory does not have is absent.
//! An absence that a path lookup reports is believed only after the directories above were opened afresh.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::Path,
    time::Duration,
};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};

use super::{
    error::{IoContext, StorageError},
    file_identity::FileIdentity,
    layout::Layout,
    name_locks,
};

/// How often a name that is being replaced is waited for: 20, 40, 80 ms.
const REPLACEMENT_WAITS: u32 = 3;

/// Largest link or record read; larger is damage.
const SMALL_FILE_LIMIT: u64 = 4096;

/// A small file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SmallFile {
    pub(super) bytes: Vec<u8>,
    /// Which file it was.
    pub(super) identity: FileIdentity,
}

/// Opens a directory, which makes an NFS client ask the server for its attributes.
pub(super) fn open_directory(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(directory, flags, Mode::empty())?))
}

/// Opens a directory that was there a moment ago.
pub(super) fn open_directory_again(directory: &Path) -> Result<File, StorageError> {
    open_again(directory, || open_directory(directory)).context("open", directory)
}

/// Makes an NFS client ask the server whether the names in a directory have changed, if it is there.
pub(super) fn look_again(directory: &Path) {
    let _ = open_directory(directory);
}

/// Opens a directory that must be there.
pub(super) fn require_directory(directory: &Path) -> Result<(), StorageError> {
    open_directory(directory).map(drop).map_err(|_| volume_gone()).context("find", directory)
}

/// The error for a volume that is not there: nothing is absent from it.
pub(super) fn volume_gone() -> io::Error {
    io::Error::other("the volume is not there; is the share mounted?")
}

/// Whether an error may be this client's memory and no more.
pub(super) fn is_stale(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// A file where a directory should be, or the other way round, is damage that reads as absence.
fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

/// Does `operation` on `path`; on "not found", opens the directory of it afresh and does it once more. Without this, a
/// client's cached absence is a false 404 for up to a minute.
///
/// Nothing is absent from a volume that is not there: then the error is another one.
pub(super) fn fresh<T>(root: &Path, path: &Path, operation: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match operation() {
        Err(error) if is_stale(&error) => {
            open_fresh(root, path.parent().unwrap_or(root))?;
            operation()
        }
        result => result,
    }
}

/// Opens a directory below `root`. One that is not found is asked for once more in the one above, opened afresh.
fn open_fresh(root: &Path, directory: &Path) -> io::Result<File> {
    match open_directory(directory) {
        Err(error) if is_stale(&error) && directory.starts_with(root) => {
            let above = directory.parent().filter(|_| directory != root).ok_or_else(volume_gone)?;
            open_fresh(root, above)?;
            // These two are as old as the volume. What is ours is not: registry:2 does not make it.
            let is_permanent = Layout::new(root.to_path_buf()).is_permanent(directory);
            open_directory(directory).map_err(|error| if is_permanent { volume_gone() } else { error })
        }
        result => result,
    }
}

/// Opens the directory of `path` afresh and does `operation` in it. What is not found there is not there; a directory
/// that is not found itself, and a file that another client removed between the two, are asked for once more.
fn in_fresh_directory<T>(
    root: &Path,
    path: &Path,
    operation: impl Fn(&File) -> io::Result<T>,
) -> io::Result<T> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::StaleNetworkFileHandle;
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    match operation(&open_fresh(root, directory)?) {
        Err(error) if gone(&error) => operation(&open_fresh(root, directory)?),
        result => result,
    }
}

/// Opens what must be there: an absence is believed only after the directory above was opened afresh.
fn open_again(path: &Path, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
    match open() {
        Err(error) if is_stale(&error) => {
            // What opening it says is said by the second try as well.
            path.parent().map(look_again);
            open()
        }
        result => result,
    }
}

/// Opens a file for reading. `None` when it is not there, freshly asked.
pub(super) fn open(root: &Path, path: &Path) -> Result<Option<File>, StorageError> {
    match fresh(root, path, || File::open(path)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error).context("open", path),
    }
}

/// Opens a file that is there for writing.
pub(super) fn open_to_write(path: &Path) -> Result<File, StorageError> {
    open_again(path, || OpenOptions::new().read(true).write(true).open(path)).context("open", path)
}

/// Reads a file of an open directory; `path` is where both are.
///
/// In a directory that was just opened an NFS client has asked whether its names have changed. By path it would open
/// a file that it knows by handle (NFS 4.1 and later), and the file that a rename has replaced goes on answering for
/// as long as anybody has it open. Measured: a tag that is pulled all the time answered its old digest for 0.1 to
/// 0.3 s after a push through another server.
pub(super) fn read_in(directory: &File, path: &Path, limit: u64) -> io::Result<SmallFile> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let _reading = name_locks::reading(path);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?);
    let identity = FileIdentity::from(&file.metadata()?);
    let mut bytes = Vec::with_capacity(160);
    // Only as much as there is: to ask for more is one call more, to be told that there is none.
    file.take(identity.size.min(limit)).read_to_end(&mut bytes)?;
    Ok(SmallFile { bytes, identity })
}

/// Reads a link or another small file whole, as it is now. `None` when it is not there.
pub(super) fn read_small(root: &Path, path: &Path) -> Result<Option<SmallFile>, StorageError> {
    let directory = path.parent().unwrap_or(root);
    let mut waited = 0;
    loop {
        let read = |opened: &File| read_in(opened, path, SMALL_FILE_LIMIT);
        match in_fresh_directory(root, path, read) {
            Ok(file) => return Ok(Some(file)),
            Err(error) if waited < REPLACEMENT_WAITS && is_stale(&error) && is_being_replaced(directory) => {
                waited += 1;
                std::thread::sleep(Duration::from_millis(10 << waited));
            }
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(error).context("read", path),
        }
    }
}

/// Whether another process of a client is replacing a name in a directory, or removing it: see [`name_locks`].
fn is_being_replaced(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).ok();
    entries
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().as_encoded_bytes().starts_with(b".nfs"))
}

/// Which file `directory/name` is now. `None` when it is not there, or is no file.
pub(super) fn identity_in(
    root: &Path,
    directory: &Path,
    name: &str,
) -> Result<Option<FileIdentity>, StorageError> {
    let stat = |opened: &File| Ok(rustix::fs::statat(opened, name, AtFlags::SYMLINK_NOFOLLOW)?);
    match in_fresh_directory(root, &directory.join(name), stat) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode).is_file().then(|| (&stat).into())),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error).context("look up", directory),
    }
}

/// What a name in an open directory is now, without opening it: an NFS client is made to ask the server. `None` when
/// that cannot be said.
pub(super) fn state_in(directory: &File, path: &Path) -> Option<FileIdentity> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC;
    let found = rustix::fs::statx(directory, path.file_name()?, flags, StatxFlags::BASIC_STATS);
    found.ok().map(|found| FileIdentity::from(&found))
}

/// Opens a directory to list it. `None` when it is not there.
pub(super) fn open_to_list(root: &Path, directory: &Path) -> Result<Option<File>, StorageError> {
    match open_fresh(root, directory) {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error).context("list", directory),
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
