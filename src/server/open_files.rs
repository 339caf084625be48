//! The limit on open files: each connection and each blob being read holds one.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard limit, and returns the limit then in force (`None`: no
/// limit). Failing is no error: the server runs with what it has.
pub fn raise_open_file_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(error) => {
            tracing::warn!(%error, limit = before, "cannot raise the limit on open files");
            before
        }
    }
}
