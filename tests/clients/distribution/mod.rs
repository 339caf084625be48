//! Volumes that the registry ours takes the place of serves before us and after us, 2.8 and 3.1: what one wrote
//! the other serves, collects and hands back.

mod collection;
mod damage;
mod fill;
mod guide;
mod observed;
mod referrers;
mod round;

use std::path::Path;

use crate::support::{Options, Reference, TestServer, program, run};

/// Who serves a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Ours,
    Theirs(Reference),
}

const TWO: Server = Server::Theirs(Reference::Two);
const THREE: Server = Server::Theirs(Reference::Three);

impl Server {
    /// On the volume whose rootdirectory is `root`.
    #[track_caller]
    fn start(self, root: &Path) -> TestServer {
        match self {
            Self::Ours => start_ours(root),
            Self::Theirs(reference) => TestServer::start_reference(reference, root),
        }
    }
}

#[track_caller]
fn start_ours(root: &Path) -> TestServer {
    TestServer::start(Options { storage_root: Some(root.to_owned()), ..Options::default() })
}

/// A copy of a volume, to let a collector loose on.
#[track_caller]
fn copy_of(root: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    run(program("cp", "coreutils").arg("--archive").arg("--no-target-directory").arg(root).arg(copy.path()));
    copy
}
