//! Adding, changing and removing a user, so that two who do it at once lose nobody.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    Line,
    lock::{Lock, Patience},
    replace::{Replacement, resolve},
};
use crate::auth::{InvalidUserName, PasswordHash, UserName};

/// A change that is in the file, on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edited {
    /// `false` when the file now belongs to who ran the command, because giving it to its former owner or group
    /// was not permitted: the server may be unable to read it.
    pub owner_kept: bool,
}

/// Why the file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is such a user already.
    #[error("user \"{0}\" exists")]
    Exists(UserName),
    /// There is no such user.
    #[error("there is no user \"{0}\"")]
    Unknown(UserName),
    /// The name is not one that Pakhuis writes.
    #[error(transparent)]
    Name(#[from] InvalidUserName),
    /// Others held the lock for a minute.
    #[error("{} is being changed by somebody else", .0.display())]
    Locked(PathBuf),
    /// The file system said no.
    #[error("cannot change {}", path.display())]
    Io {
        /// The file that was to be changed.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Adds a user who is not there yet; makes the file (mode 0600) where there is none. Blocks.
pub fn add_user(file: &Path, name: &UserName, hash: &PasswordHash) -> Result<Edited, EditError> {
    name.check_new()?;
    edit(file, Patience::USUAL, |text| match set(text, name, hash) {
        (_, true) => Err(EditError::Exists(name.clone())),
        (mut changed, false) => {
            if !changed.is_empty() && !changed.ends_with(b"\n") {
                changed.push(b'\n');
            }
            changed.extend_from_slice(format!("{name}:{}\n", hash.as_str()).as_bytes());
            Ok(changed)
        }
    })
}

/// Changes the password of a user who is there. Blocks.
pub fn set_password(file: &Path, name: &UserName, hash: &PasswordHash) -> Result<Edited, EditError> {
    edit(file, Patience::USUAL, |text| match set(text, name, hash) {
        (changed, true) => Ok(changed),
        (_, false) => Err(EditError::Unknown(name.clone())),
    })
}

/// Removes a user who is there. Blocks.
pub fn remove_user(file: &Path, name: &UserName) -> Result<Edited, EditError> {
    edit(file, Patience::USUAL, |text| {
        let kept: Vec<&[u8]> = lines(text).filter(|line| !is_of(line, name)).collect();
        if kept.len() == lines(text).count() {
            return Err(EditError::Unknown(name.clone()));
        }
        Ok(kept.concat())
    })
}

/// Gives the first line of `name` another hash, and says whether there was one. Further lines of that name go:
/// they never counted here, but would count for a program that takes the last, with an old password.
fn set(text: &[u8], name: &UserName, hash: &PasswordHash) -> (Vec<u8>, bool) {
    let mut changed = Vec::with_capacity(text.len() + 80);
    let mut found = false;
    for line in lines(text) {
        if !is_of(line, name) {
            changed.extend_from_slice(line);
        } else if !found {
            found = true;
            let end: &[u8] = if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
            changed.extend_from_slice(format!("{name}:{}", hash.as_str()).as_bytes());
            changed.extend_from_slice(end);
        }
    }
    (changed, found)
}

/// The lines of a text, each with its end.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

fn is_of(line: &[u8], wanted: &UserName) -> bool {
    matches!(Line::parse(line), Line::User { name, .. } if name == *wanted)
}

/// Reads the file under its lock, changes the text, and puts it in the file's place.
pub(super) fn edit(
    file: &Path,
    patience: Patience,
    change: impl Fn(&[u8]) -> Result<Vec<u8>, EditError>,
) -> Result<Edited, EditError> {
    let failed = |source| EditError::Io { path: file.to_owned(), source };
    let target = resolve(file).map_err(failed)?;
    loop {
        let Some(lock) = Lock::acquire(&target, patience).map_err(failed)? else {
            return Err(EditError::Locked(file.to_owned()));
        };
        let text = match super::read(&target) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let changed = change(&text)?;
        let replacement = Replacement::prepare(&target, &changed).map_err(failed)?;
        let owner_kept = replacement.owner_kept;
        // Whoever was so slow that his lock was taken away begins again with what is in the file by then.
        if lock.is_held() {
            replacement.commit().map_err(failed)?;
            return Ok(Edited { owner_kept });
        }
    }
}
