//! The audit log: who pushed, tagged, deleted, signed in or failed to, and which command an administrator gave; one
//! JSON object a line, to a file or to syslog, beside the ordinary log.
//!
//! A record is an event of `tracing` with the target [`TARGET`]; whatever room has one to tell writes it. A thread
//! of its own does the writing, so that a full disk holds up no request; what it cannot write is counted and told.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::{fs::OpenOptionsExt as _, net::UnixDatagram},
    path::PathBuf,
    str::FromStr,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

use super::traffic::traffic;

/// The target of every record. `auth`, which knows no other room, writes it out.
pub const TARGET: &str = "pakhuis::audit";

/// Lines that may wait for a slow disk.
const WAITING_LINES: usize = 8192;

/// Where syslog listens on every Unix.
const SYSLOG: &str = "/dev/log";
/// Facility 13, "log audit", severity 5, "notice" (RFC 5424, section 6.2.1).
const PRIORITY: u8 = 13 * 8 + 5;

/// Where the audit log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Appended to; opened for every line, so that it may be renamed away at any time.
    File(PathBuf),
    /// The datagram socket of syslog.
    Syslog(PathBuf),
}

impl FromStr for Destination {
    type Err = String;

    /// `syslog`, or the path of a file.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "syslog" => Ok(Self::Syslog(PathBuf::from(SYSLOG))),
            path if path.starts_with('/') => Ok(Self::File(PathBuf::from(path))),
            _ => Err(format!("{text:?} is neither \"syslog\" nor an absolute path")),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Syslog(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Destination {
    /// Writes one line, which ends with a line feed.
    ///
    /// # Errors
    /// When it cannot be opened or takes nothing.
    pub fn write(&self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::File(path) => {
                let mut options = fs::OpenOptions::new();
                options.create(true).append(true).mode(0o640).open(path)?.write_all(line)
            }
            Self::Syslog(path) => {
                let mut message = format!("<{PRIORITY}>pakhuis[{}]: ", std::process::id()).into_bytes();
                message.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
                UnixDatagram::unbound()?.send_to(&message, path).map(drop)
            }
        }
    }

    /// Whether lines can be written: an audit log that was asked for and cannot be kept is a reason not to start.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> io::Result<()> {
        match self {
            Self::File(_) => self.write(b""),
            Self::Syslog(path) => UnixDatagram::unbound()?.connect(path),
        }
    }
}

/// What the thread that writes is given.
enum Job {
    Line(Vec<u8>),
    /// Answered when all that came before is written.
    Flush(SyncSender<()>),
}

/// Gives lines to the thread that writes them.
#[derive(Clone)]
pub(super) struct Writer(SyncSender<Job>);

impl Writer {
    pub(super) fn start(destination: Destination) -> io::Result<Self> {
        let (sender, lines) = sync_channel(WAITING_LINES);
        thread::Builder::new().name("audit".to_owned()).spawn(move || write_all(&destination, &lines))?;
        Ok(Self(sender))
    }

    /// Waits until what was recorded is written, for at most `longest`; whether it is.
    pub(super) fn flush(&self, longest: Duration) -> bool {
        let end = Instant::now() + longest;
        let (done, written) = sync_channel(1);
        while let Err(TrySendError::Full(_)) = self.0.try_send(Job::Flush(done.clone())) {
            if Instant::now() >= end {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        drop(done);
        written.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok()
    }
}

fn write_all(destination: &Destination, jobs: &Receiver<Job>) {
    let mut failing = false;
    while let Ok(job) = jobs.recv() {
        let line = match job {
            Job::Line(line) => line,
            Job::Flush(done) => {
                let _ = done.send(());
                continue;
            }
        };
        match destination.write(&line) {
            Ok(()) => failing = false,
            Err(error) => {
                traffic().lost_audit_line();
                if !failing {
                    tracing::error!(%destination, %error, "the audit log cannot be written; lines are lost");
                }
                failing = true;
            }
        }
    }
}

/// One line, sent when it is dropped.
pub(super) struct Line<'a>(&'a Writer, Vec<u8>);

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.0.0.try_send(Job::Line(std::mem::take(&mut self.1))).is_err() {
            traffic().lost_audit_line();
        }
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_be_renamed_away_between_two_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let destination: Destination = path.to_str().unwrap().parse().unwrap();
        destination.write(b"one\n").unwrap();
        fs::rename(&path, directory.path().join("audit.log.1")).unwrap();
        destination.write(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert!(Destination::File(directory.path().join("missing/audit.log")).check().is_err());
        assert!("audit.log".parse::<Destination>().is_err(), "a relative path depends on who starts it");
    }

    #[test]
    fn what_waits_is_written_before_the_process_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let writer = Writer::start(Destination::File(path.clone())).unwrap();
        for number in 0..5000 {
            writeln!(writer.make_writer(), "{number}").unwrap();
        }
        assert!(writer.flush(Duration::from_secs(30)));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 5000);

        // A FIFO that nobody reads, as a disk that hangs.
        let fifo = directory.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let writer = Writer::start(Destination::File(fifo)).unwrap();
        writeln!(writer.make_writer(), "held up").unwrap();
        let begin = Instant::now();
        assert!(!writer.flush(Duration::from_millis(100)));
        assert!(begin.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn syslog_gets_a_datagram_with_facility_and_severity() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        Destination::Syslog(path).write(b"{\"action\":\"push\"}\n").unwrap();
        let mut buffer = [0; 200];
        let length = daemon.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        let expected = format!("<109>pakhuis[{}]: {{\"action\":\"push\"}}", std::process::id());
        assert_eq!(text, expected);
    }
}
