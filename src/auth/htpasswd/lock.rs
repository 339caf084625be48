//! A lock on a file between processes and hosts that share only a directory: `FILE.lock`, made with `O_EXCL`.
//!
//! Nothing here relies on `flock` (an NFS mount may not pass it on) or on clocks agreeing: the age of a lock is
//! the difference between its time stamp and that of a file made just now in the same directory, both given by
//! the server. A lock left behind by a crash is taken away by renaming it, which only one process can.
#![expect(clippy::disallowed_methods, reason = "these files are not on the image volume")]

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::open_fresh;

/// How long a lock is respected and waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The age from which a lock counts as left behind.
    pub(super) stale_after: Duration,
    /// How long to wait for a lock that is not left behind.
    pub(super) give_up_after: Duration,
}

impl Patience {
    /// An edit takes well under a second; 30 s leaves room for a slow server.
    pub(super) const USUAL: Self =
        Self { stale_after: Duration::from_secs(30), give_up_after: Duration::from_secs(60) };
}

/// A held lock; given back on drop.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    token: String,
}

impl Lock {
    /// Waits for the lock of `file`. `None`: it was held by others all the time.
    pub(super) fn acquire(file: &Path, patience: Patience) -> io::Result<Option<Self>> {
        let path = beside(file, "", ".lock");
        let token = random_token()?;
        let begin = Instant::now();
        let mut next_judgement = begin;
        loop {
            match create_exclusively(&path) {
                Ok(mut made) => {
                    let lock = Self { path, token };
                    made.write_all(lock.token.as_bytes())?;
                    // Others read the token and the time stamp from the server.
                    made.sync_all()?;
                    return Ok(Some(lock));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let now = Instant::now();
            if now >= next_judgement {
                remove_if_stale(file, &path, patience.stale_after)?;
                next_judgement = now + Duration::from_secs(1).min(patience.stale_after);
            }
            if now - begin > patience.give_up_after {
                return Ok(None);
            }
            // An uneven pause, so that those who wait do not all try at the same moment.
            thread::sleep(Duration::from_millis(5 + u64::from(random_byte()?) / 6));
        }
    }

    /// Whether the lock is still ours, and not taken away because we were too slow.
    pub(super) fn is_held(&self) -> bool {
        look_at(&self.path)
            .is_ok_and(|found| found.is_some_and(|(content, _)| content == self.token.as_bytes()))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.is_held() {
            // A lock that cannot be removed counts as left behind after a while.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Takes the lock away if it was left behind. Its successor is not decided here.
fn remove_if_stale(file: &Path, lock: &Path, stale_after: Duration) -> io::Result<()> {
    let (Some((token, made_at)), now) = (look_at(lock)?, server_time(file)?) else {
        return Ok(());
    };
    if now.duration_since(made_at).unwrap_or_default() < stale_after {
        return Ok(());
    }
    let taken = beside(file, ".", &format!(".{}.stale", random_token()?));
    match fs::rename(lock, &taken) {
        Ok(()) => {}
        // Another was quicker.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    // Between our look and our rename another may have taken the old lock away and made his own. Then ours is the
    // mistake: give it back, unless a third has one by now; who lost his lock sees that before he writes.
    if look_at(&taken)?.is_some_and(|(found, _)| found != token) {
        drop(fs::hard_link(&taken, lock));
    }
    fs::remove_file(&taken)
}

/// The content and the time stamp of a lock, `None` when it has gone.
fn look_at(lock: &Path) -> io::Result<Option<(Vec<u8>, SystemTime)>> {
    let look = || -> io::Result<(Vec<u8>, SystemTime)> {
        let file = open_fresh(lock)?;
        let mut content = Vec::new();
        (&file).take(256).read_to_end(&mut content)?;
        Ok((content, file.metadata()?.modified()?))
    };
    match look() {
        Ok(found) => Ok(Some(found)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What the file server's clock says: the time stamp of a file made now.
fn server_time(file: &Path) -> io::Result<SystemTime> {
    let path = beside(file, ".", &format!(".{}.clock", random_token()?));
    let time = create_exclusively(&path).and_then(|made| made.metadata()?.modified());
    drop(fs::remove_file(&path));
    time
}

/// Makes a file that was not there, readable by its owner only.
pub(super) fn create_exclusively(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// The path of a file beside `file`, named after it.
pub(super) fn beside(file: &Path, before: &str, after: &str) -> PathBuf {
    let mut name = OsString::from(before);
    name.push(file.file_name().unwrap_or_default());
    name.push(after);
    file.with_file_name(name)
}

/// 16 hexadecimal digits that nobody else has.
pub(super) fn random_token() -> io::Result<String> {
    Ok(format!("{:016x}", getrandom::u64().map_err(io::Error::other)?))
}

fn random_byte() -> io::Result<u8> {
    let mut byte = [0];
    getrandom::fill(&mut byte).map_err(io::Error::other)?;
    Ok(byte[0])
}
