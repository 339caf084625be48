//! The htpasswd file: what its lines mean, how it is read, and how one user in it is changed.
//!
//! A line is `name:hash`; blank lines and lines that begin with `#` are comments. As with Apache, the first of
//! two lines with one name counts, and what follows a second `:` is ignored. Only bcrypt hashes let anybody in.

mod edit;
mod lock;
mod replace;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

pub use edit::{EditError, Edited, add_user, remove_user, set_password};

use super::{HashError, PasswordHash, UserName};

/// Longest file read, in bytes: some 100,000 users.
pub const MAX_FILE_LENGTH: u64 = 8 << 20;

/// The users of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    by_name: HashMap<UserName, PasswordHash>,
    in_order: Vec<UserName>,
}

/// A line that lets nobody in although it was perhaps meant to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The hash is not bcrypt; the user cannot sign in.
    #[error("user {0:?} has a password hash that is not bcrypt and cannot sign in; set the password again")]
    OtherHash(UserName),
    /// The hash is dearer than Pakhuis works out.
    #[error("user {user:?} has a bcrypt cost of {cost}, outside 4 to 17, and cannot sign in")]
    Cost {
        /// The user.
        user: UserName,
        /// The cost that the hash names.
        cost: u32,
    },
    /// A name that stands in the file more than once; the first line counts.
    #[error("user {0:?} stands in the file twice; the first line counts")]
    Duplicate(UserName),
    /// The line is not `name:hash`. Lines are counted from 1.
    #[error("line {0} is not a user name, ':' and a hash")]
    Malformed(usize),
}

impl Users {
    /// Reads the text of a file. It cannot fail: what is not understood lets nobody in and is a [`Problem`].
    pub fn parse(text: &[u8]) -> (Self, Vec<Problem>) {
        let mut users = Self::default();
        let mut problems = Vec::new();
        // A name counts from its first line on, also when that line's hash lets nobody in.
        let mut seen = HashSet::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let (name, hash) = match Line::parse(line) {
                Line::Comment => continue,
                Line::Malformed => {
                    problems.push(Problem::Malformed(index + 1));
                    continue;
                }
                Line::User { name, hash } => (name, hash),
            };
            if !seen.insert(name.clone()) {
                problems.push(Problem::Duplicate(name));
                continue;
            }
            users.in_order.push(name.clone());
            match hash.parse::<PasswordHash>() {
                Ok(hash) => {
                    users.by_name.insert(name, hash);
                }
                Err(HashError::Cost(cost)) => problems.push(Problem::Cost { user: name, cost }),
                Err(_) => problems.push(Problem::OtherHash(name)),
            }
        }
        (users, problems)
    }

    /// The hash of a user who can sign in.
    pub fn get(&self, name: &str) -> Option<&PasswordHash> {
        self.by_name.get(name)
    }

    /// Every name in the file in its order, also of those who cannot sign in.
    pub fn names(&self) -> impl Iterator<Item = &UserName> {
        self.in_order.iter()
    }

    /// How many users can sign in.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether nobody can sign in.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The cost that most hashes have.
    pub(super) fn usual_cost(&self) -> Option<u32> {
        let mut counts = HashMap::<u32, usize>::new();
        for hash in self.by_name.values() {
            *counts.entry(hash.cost()).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(cost, count)| (*count, *cost)).map(|(cost, _)| cost)
    }
}

/// What one line of the file is.
enum Line<'a> {
    Comment,
    Malformed,
    User { name: UserName, hash: &'a str },
}

impl<'a> Line<'a> {
    /// `line` without its `\n`; a `\r` before it, white space around it and a byte order mark are tolerated.
    fn parse(line: &'a [u8]) -> Self {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let Ok(text) = std::str::from_utf8(line) else {
            return Self::Malformed;
        };
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return Self::Comment;
        }
        let Some((name, rest)) = text.split_once(':') else {
            return Self::Malformed;
        };
        let hash = rest.split_once(':').map_or(rest, |(hash, _)| hash);
        match name.parse() {
            Ok(name) => Self::User { name, hash },
            Err(_) => Self::Malformed,
        }
    }
}

/// Reads the file as it is now, also when another client of an NFS server has just replaced it. Blocks.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    let look = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        open_fresh(file)?.take(MAX_FILE_LENGTH + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = match look() {
        // Replaced between the opening and the reading.
        Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => look()?,
        other => other?,
    };
    if text.len() as u64 > MAX_FILE_LENGTH {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the user file is larger than 8 MiB"));
    }
    Ok(text)
}

/// What tells a file from the one that had its name before, short of reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    length: u64,
    times: [(i64, i64); 2],
}

/// The stamp of the file that has this name now. A change in place within one tick of the file system's clock that
/// leaves the length as it is does not show. Blocks.
pub(super) fn stamp(file: &Path) -> io::Result<Stamp> {
    let found = open_fresh(file)?.metadata()?;
    Ok(Stamp {
        file: (found.dev(), found.ino()),
        length: found.len(),
        times: [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())],
    })
}

/// Opens the file that has this name now.
///
/// Opening the directory makes an NFS client ask the server whether it changed, and so forget a name that stands
/// for a file since renamed; opening the file does the same for what is in it (close-to-open). Without the first,
/// the old file was seen for 30 s after a rename elsewhere; `stat` alone answers from a cache for up to 60 s.
fn open_fresh(file: &Path) -> io::Result<File> {
    // A directory that may be passed through but not listed still leads to the file.
    drop(File::open(directory_of(file)));
    File::open(file)
}

/// The directory a file is in; `.` for a bare name.
fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
