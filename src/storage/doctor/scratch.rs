//! The directory that the doctor works in, and the only names on the volume that it makes, changes or removes.
//!
//! The calls are bare, unlike those of `atomic_file`: an error is what a trial wants to see, not to mend.
#![expect(
    clippy::disallowed_methods,
    reason = "names below the doctor's own directory, never a blob or a link"
)]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Component, Path, PathBuf},
    time::Duration,
};

use uuid::Uuid;

use crate::storage::layout::DoctorDirectory;

/// Directories of runs that were killed are left alone for as long: one of them may still run.
const KEPT_AFTER_A_KILL: Duration = Duration::from_secs(3600);

/// A directory of one run; removed with all in it when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    id: String,
    directory: PathBuf,
    /// Whether the directory it is in goes too, once it is empty.
    in_meeting: bool,
    /// How often a trial repeats what may go wrong now and then: few in the quick part.
    pub(super) rounds: usize,
}

impl Scratch {
    /// Makes a directory of its own, after removing those of runs that were killed an hour ago or longer.
    pub(super) fn make(place: &DoctorDirectory, rounds: usize) -> io::Result<Self> {
        let id = new_id();
        let directory = place.scratch(&id);
        fs::create_dir(&directory)?;
        let scratch = Self { id, directory, in_meeting: false, rounds };
        scratch.remove_old_ones(|name| place.is_scratch(name));
        Ok(scratch)
    }

    /// Makes a directory of its own where the doctors of two hosts meet.
    pub(super) fn join_meeting(place: &DoctorDirectory) -> io::Result<Self> {
        let meeting = place.meeting();
        let id = new_id();
        let directory = meeting.join(&id);
        for _ in 0..10 {
            match fs::create_dir(&meeting) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            match fs::create_dir(&directory) {
                // The last of those who met before took the meeting's directory away in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let scratch = Self { id, directory, in_meeting: true, rounds: 1 };
                    scratch.remove_old_ones(|_| true);
                    return Ok(scratch);
                }
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// By the clock of the file server, whose time the directory just made has.
    fn remove_old_ones(&self, is_one: impl Fn(&std::ffi::OsStr) -> bool) {
        let made = |path: &Path| fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        let (Ok(now), Some(parent)) = (made(&self.directory), self.directory.parent()) else { return };
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let old = made(&entry.path())
                .is_ok_and(|time| now.duration_since(time).is_ok_and(|age| age > KEPT_AFTER_A_KILL));
            if old && is_one(&entry.file_name()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// 32 hexadecimal digits.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A path in the scratch directory, and nowhere else.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let inside = |component: Component<'_>| matches!(component, Component::Normal(_));
        assert!(Path::new(name).components().all(inside), "{name} is not below the scratch directory");
        self.directory.join(name)
    }

    /// Creates a file that must not be there yet.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(self.path(name))
    }

    /// A new file with `bytes`, flushed or not.
    pub(super) fn write(&self, name: &str, bytes: &[u8], flush: bool) -> io::Result<File> {
        let mut file = self.create(name)?;
        file.write_all(bytes)?;
        if flush {
            file.sync_all()?;
        }
        Ok(file)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    pub(super) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.path(from), self.path(to))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    pub(super) fn make_directory(&self, name: &str) -> io::Result<()> {
        fs::create_dir(self.path(name))
    }

    pub(super) fn make_directories(&self, name: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(name))
    }

    pub(super) fn remove_directory(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.path(name))
    }

    /// The names in it, or in a directory below it, as the file system lists them.
    pub(super) fn names(&self, name: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.path(name))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
}

fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by a later run.
        let _ = fs::remove_dir_all(&self.directory);
        if let Some(meeting) = self.directory.parent().filter(|_| self.in_meeting) {
            // Fails while another is there.
            let _ = fs::remove_dir(meeting);
        }
    }
}
