//! Putting a new text in a file's place: whole or not at all, with the mode and the owner it had.
#![expect(clippy::disallowed_methods, reason = "these files are not on the image volume")]

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use super::{
    directory_of,
    lock::{beside, create_exclusively, random_token},
    open_fresh,
};

/// A new text beside the file, on stable storage; removed on drop unless it took the file's place.
pub(super) struct Replacement<'a> {
    file: &'a Path,
    temporary: PathBuf,
    /// Device and inode of the new text.
    identity: (u64, u64),
    /// Whether the new file has the owner and the group of the old one.
    pub(super) owner_kept: bool,
}

impl<'a> Replacement<'a> {
    /// Writes `text` beside `file`, with the mode and owner of `file`, or mode 0600 where there is none.
    pub(super) fn prepare(file: &'a Path, text: &[u8]) -> io::Result<Self> {
        let temporary = beside(file, ".", &format!(".{}.tmp", random_token()?));
        let mut made = create_exclusively(&temporary)?;
        let new = made.metadata()?;
        let mut replacement = Self { file, temporary, identity: (new.dev(), new.ino()), owner_kept: true };
        made.write_all(text)?;
        match fs::metadata(file) {
            Ok(old) => {
                if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                    // Only root may give a file away; a member of a group may still give it to the group.
                    replacement.owner_kept = fchown(&made, Some(old.uid()), Some(old.gid())).is_ok();
                    if !replacement.owner_kept {
                        drop(fchown(&made, None, Some(old.gid())));
                    }
                }
                made.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        made.sync_all()?;
        Ok(replacement)
    }

    /// Makes the new text the file.
    pub(super) fn commit(self) -> io::Result<()> {
        if let Err(error) = fs::rename(&self.temporary, self.file) {
            // An NFS server that restarts may report a failure for a rename that it did.
            let now = open_fresh(self.file).and_then(|file| file.metadata());
            if !now.is_ok_and(|now| (now.dev(), now.ino()) == self.identity) {
                return Err(error);
            }
        }
        File::open(directory_of(self.file))?.sync_all()
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        // After the rename it is not there any more.
        drop(fs::remove_file(&self.temporary));
    }
}

/// The file that a path means: where it is a symbolic link, what the link points to, which need not exist.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    /// As many as Linux follows.
    const MAX_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = directory_of(&path).join(target),
            // Not a link, or not there.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}
