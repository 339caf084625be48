//! What one host does and the other watches: a file made, replaced, removed, moved away, each seen in two ways.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::storage::{
    doctor::{scratch::Scratch, trial_of::Failure},
    lookup,
};

/// Something that happens to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Made,
    Replaced,
    Removed,
    Moved,
}

/// How it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By the calls that the server uses, which open directories afresh before they believe an absence.
    AsServed,
    /// By the path alone, which a client may answer from its cache.
    ByPath,
}

/// Each in its own directory: what refreshes one must not refresh the other.
pub(super) const ALL: [(Event, Way); 8] = [
    (Event::Made, Way::AsServed),
    (Event::Made, Way::ByPath),
    (Event::Replaced, Way::AsServed),
    (Event::Replaced, Way::ByPath),
    (Event::Removed, Way::AsServed),
    (Event::Removed, Way::ByPath),
    (Event::Moved, Way::AsServed),
    (Event::Moved, Way::ByPath),
];

const NAME: &str = "link";

impl Event {
    /// Name of its trial.
    pub(super) fn trial(self) -> &'static str {
        match self {
            Self::Made => "made by the other",
            Self::Replaced => "replaced by the other",
            Self::Removed => "removed by the other",
            Self::Moved => "moved by the other",
        }
    }

    /// What breaks when the server does not see it.
    pub(super) fn breaks(self) -> &'static str {
        match self {
            Self::Made => "what is pushed through one server is a false 404 on the other for as long",
            Self::Replaced => "a tag moved through one server is the old image on the other for as long",
            Self::Removed => "a tag deleted through one server goes on on the other for as long",
            Self::Moved => "two servers may take the same upload, and a damaged blob is served for as long",
        }
    }

    fn directory(self, way: Way) -> String {
        // Not beside the messages: a client that sees their directory change asks for all in it again.
        format!("acts/{self:?}-{way:?}").to_lowercase()
    }

    /// What is there before.
    pub(super) fn prepare(self, way: Way, scratch: &Scratch) -> io::Result<()> {
        let directory = self.directory(way);
        scratch.make_directories(&directory)?;
        if self != Self::Made {
            scratch.write(&format!("{directory}/{NAME}"), b"old", true)?;
        }
        Ok(())
    }

    /// Lets it happen.
    pub(super) fn act(self, way: Way, scratch: &Scratch) -> io::Result<()> {
        let directory = self.directory(way);
        let (name, other) = (format!("{directory}/{NAME}"), format!("{directory}/other"));
        match self {
            Self::Made => scratch.write(&name, b"new", true).map(drop),
            Self::Replaced => {
                scratch.write(&other, b"new", true)?;
                scratch.rename(&other, &name)
            }
            Self::Removed => scratch.remove(&name),
            Self::Moved => scratch.rename(&name, &other),
        }
    }

    /// Whether it is seen to have happened in the directory of the other.
    fn is_seen(self, way: Way, other: &Path) -> Result<bool, Failure> {
        let directory = other.join(self.directory(way));
        let path = directory.join(NAME);
        let content = match way {
            Way::AsServed if self == Self::Moved => {
                // As the existence of a blob is asked.
                return Ok(lookup::identity_in(other, &directory, NAME)?.is_none());
            }
            Way::AsServed => lookup::read_small(other, &path)?.map(|file| file.bytes),
            Way::ByPath => match fs::read(&path) {
                Ok(content) => Some(content),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error.into()),
            },
        };
        Ok(match self {
            Self::Made | Self::Replaced => content.as_deref() == Some(b"new"),
            Self::Removed | Self::Moved => content.is_none(),
        })
    }
}

/// Looks for all that the other does.
#[derive(Debug)]
pub(super) struct Watch {
    other: PathBuf,
    seen: [Option<SystemTime>; ALL.len()],
}

impl Watch {
    pub(super) fn new(other: PathBuf) -> Self {
        Self { other, seen: [None; ALL.len()] }
    }

    /// Looks once for each that was not seen yet; the first look makes the client remember what is there.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        for ((event, way), seen) in ALL.iter().zip(&mut self.seen) {
            if seen.is_none() && event.is_seen(*way, &self.other)? {
                *seen = Some(SystemTime::now());
            }
        }
        Ok(())
    }

    pub(super) fn has_seen_all(&self) -> bool {
        self.seen.iter().all(Option::is_some)
    }

    pub(super) fn seen(&self, event: Event, way: Way) -> Option<SystemTime> {
        let at = ALL.iter().position(|what| *what == (event, way))?;
        self.seen[at]
    }
}
