//! Removing what is only in the way: names that nobody else uses, so that it may be done at any later time. With
//! `atomic_file`, where names on the volume change.

use std::{fs, io, path::Path};

use super::lookup;

/// Removes a file. It need not be there.
pub(super) fn try_remove_file(path: &Path) -> io::Result<()> {
    unless(&[io::ErrorKind::NotFound], fs::remove_file(path))
}

/// Removes a directory and all in it, of which some names are known. It need not be there. Never follows a symbolic
/// link.
pub(super) fn try_remove_tree(path: &Path, known: &[&str]) -> io::Result<()> {
    // Each, though another fails: an upload is not there any more when one of its names is gone.
    let known: Vec<_> = known.iter().map(|name| try_remove_file(&path.join(name))).collect();
    known.into_iter().collect::<io::Result<()>>()?;
    // Mostly that was all, and listing it costs more.
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Somebody else may have removed it, or this client remembers its absence.
            path.parent().map(lookup::look_again);
        }
        Err(_) => {}
        Ok(()) => return Ok(()),
    }
    match fs::remove_dir_all(path) {
        // A part of it may have been removed by somebody else.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map(lookup::look_again);
            unless(&[io::ErrorKind::NotFound], fs::remove_dir_all(path))
        }
        result => result,
    }
}

/// Removes a directory if it is there and empty; a concurrent writer's file keeps it.
pub(super) fn try_remove_directory(path: &Path) -> io::Result<()> {
    unless(&[io::ErrorKind::NotFound, io::ErrorKind::DirectoryNotEmpty], fs::remove_dir(path))
}

fn unless(fine: &[io::ErrorKind], result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if fine.contains(&error.kind()) => Ok(()),
        result => result,
    }
}

/// Removes a directory if it is empty; a concurrent writer's file keeps it.
pub(super) fn remove_directory_if_empty(path: &Path) {
    let _ = fs::remove_dir(path);
}

/// Removes files that a crash left half-written in a directory: hidden ones that end in `.tmp`, older than an hour,
/// so that none is a writer's of now on any server whose clock is not far off; as old, the `.nfs` files of a client
/// that died; and the temporary files of registry 3, which never serves the volume at the same time.
pub(super) fn remove_old_temporaries(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| time.elapsed().ok());
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_temporary = name.starts_with('.') && name.ends_with(".tmp") || name.starts_with(".nfs");
        let of_registry_3 = name.starts_with("link.") && name.ends_with(".tmp");
        if of_registry_3 || is_temporary && old.is_some_and(|age| age.as_secs() > 3600) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
