//! The events that wait for one target: a file each, numbered in their order, flushed before anybody relies on it.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use crate::observability::traffic;

/// Events that may wait for one target; more are lost, so that a target that is gone does not fill the disk.
const MOST_WAITING: usize = 100_000;

pub(super) struct Queue {
    directory: PathBuf,
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    next: u64,
    waiting: VecDeque<u64>,
    /// The last event was lost, and that was told.
    losing: bool,
}

/// One event to keep.
pub(super) struct Entry<'a> {
    pub(super) envelope: &'a [u8],
    /// Whether somebody is promised that it is kept.
    pub(super) durable: bool,
}

impl Queue {
    /// Opens the queue in `directory`, with what an earlier run left there.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory.join("dead"))?;
        let mut waiting = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<u64>().ok());
            waiting.extend(number);
        }
        waiting.sort_unstable();
        traffic().events_waiting.fetch_add(waiting.len() as u64, Relaxed);
        // Dead letters keep their numbers: a new one must not replace them.
        let seconds =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        let now = u64::try_from(seconds).unwrap_or_default();
        let next = waiting.last().map_or(now, |last| now.max(last + 1));
        let state = State { next, waiting: waiting.into(), losing: false };
        Ok(Self { directory: directory.to_path_buf(), state: Mutex::new(state), arrived: Condvar::new() })
    }

    /// Adds events, by one thread at a time. What cannot be kept is logged and counted: what it tells of has happened.
    pub(super) fn put(&self, entries: &[Entry<'_>]) {
        let (first, room) = {
            let state = self.lock();
            (state.next, MOST_WAITING.saturating_sub(state.waiting.len()))
        };
        let mut added = Vec::new();
        for (number, entry) in (first..).zip(entries) {
            let written = if added.len() < room {
                self.write(number, entry)
            } else {
                Err(io::Error::other("too many events wait"))
            };
            match written {
                Ok(()) => added.push(number),
                Err(error) => self.lose(&error),
            }
        }
        if entries.iter().any(|entry| entry.durable)
            && let Err(error) = File::open(&self.directory).and_then(|directory| directory.sync_all())
        {
            self.tell(&error, "events may be lost when the power goes");
        }
        let mut state = self.lock();
        state.next = first + entries.len() as u64;
        state.losing &= added.is_empty();
        traffic().events_waiting.fetch_add(added.len() as u64, Relaxed);
        state.waiting.extend(added);
        self.arrived.notify_one();
    }

    #[expect(clippy::disallowed_methods, reason = "a directory of the server's own disk, not of the volume")]
    fn write(&self, number: u64, entry: &Entry<'_>) -> io::Result<()> {
        let temporary = self.directory.join("new");
        let mut file = File::create(&temporary)?;
        file.write_all(entry.envelope)?;
        if entry.durable {
            file.sync_all()?;
        }
        fs::rename(&temporary, self.path(number))
    }

    fn lose(&self, error: &io::Error) {
        traffic().lost_event();
        // Once, not for each of thousands.
        if !std::mem::replace(&mut self.lock().losing, true) {
            self.tell(error, "events cannot be kept and are lost");
        }
    }

    fn tell(&self, error: &io::Error, what: &'static str) {
        let queue = self.directory.display().to_string();
        tracing::error!(%error, queue, "{what}");
    }

    /// Waits for an event; the oldest one and its age. It stays in the queue. `InvalidData` is one of which only a part
    /// is there.
    pub(super) fn oldest(&self) -> (u64, io::Result<(Vec<u8>, Duration)>) {
        let mut state = self.lock();
        let number = loop {
            match state.waiting.front() {
                Some(number) => break *number,
                None => state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(state);
        let read = || {
            let age = fs::metadata(self.path(number))?.modified()?.elapsed().unwrap_or_default();
            Ok((whole(fs::read(self.path(number))?)?, age))
        };
        (number, read())
    }

    /// Forgets an event that its target took.
    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        let removed = fs::remove_file(self.path(number));
        self.forget(number);
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts an event that its target will not get aside.
    #[expect(clippy::disallowed_methods, reason = "a directory of the server's own disk, not of the volume")]
    pub(super) fn bury(&self, number: u64) -> io::Result<PathBuf> {
        let grave = self.directory.join("dead").join(format!("{number:020}.json"));
        let moved = fs::rename(self.path(number), &grave);
        self.forget(number);
        moved.map(|()| grave)
    }

    fn forget(&self, number: u64) {
        let mut state = self.lock();
        if state.waiting.front() == Some(&number) {
            state.waiting.pop_front();
            traffic().events_waiting.fetch_sub(1, Relaxed);
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:020}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event that nobody was promised may be cut when the power went.
fn whole(envelope: Vec<u8>) -> io::Result<Vec<u8>> {
    if envelope.ends_with(b"]}") { Ok(envelope) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_there_in_order_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ci");
        let queue = Queue::open(&path).unwrap();
        let put = |queue: &Queue, text: &str| {
            queue.put(&[Entry { envelope: text.as_bytes(), durable: true }]);
        };
        for number in 0..3 {
            put(&queue, &format!("{number}]}}"));
        }
        drop(queue);
        // What a crash leaves of an event that nobody was promised.
        fs::write(path.join("new"), b"torn").unwrap();
        let queue = Queue::open(&path).unwrap();
        put(&queue, "3]}");
        for expected in 0..4 {
            let (number, event) = queue.oldest();
            assert_eq!(event.unwrap().0, format!("{expected}]}}").into_bytes());
            if expected == 2 {
                let grave = queue.bury(number).unwrap();
                assert_eq!(fs::read(grave).unwrap(), b"2]}");
            } else {
                queue.remove(number).unwrap();
            }
        }
        // What a power cut leaves of an event that nobody was promised.
        put(&queue, "{\"events\":[{");
        assert_eq!(queue.oldest().1.unwrap_err().kind(), io::ErrorKind::InvalidData);
        queue.remove(queue.oldest().0).unwrap();
        assert!(Queue::open(&path).unwrap().lock().waiting.is_empty());
    }
}
