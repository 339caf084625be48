//! Making the directories that a name on the volume needs. Nothing is flushed here (`settled` does that), and a directory
//! that is there is left as it is.

use std::{fs, io, path::Path};

use super::{
    error::{IoContext, StorageError},
    lookup::{self, open_directory, volume_gone},
};

/// Makes a directory and those above it, but neither `root` nor what is directly below it: where those are gone, the
/// share is, and what would be made is on another disk. Flushes nothing. `Ok(false)` when it was there.
pub(super) fn make(root: &Path, directory: &Path) -> Result<bool, StorageError> {
    match make_one(directory) {
        Err(error) if error.is_of_a_removed_directory() => {}
        result => return result,
    }
    let parent = directory.parent().filter(|parent| parent.starts_with(root) && *parent != root);
    let above = parent.and_then(Path::parent).filter(|above| above.starts_with(root));
    let (Some(parent), Some(above)) = (parent, above) else {
        return Err(volume_gone()).context("find", root);
    };
    if above == root {
        open_directory(parent).map_err(|_| volume_gone()).context("find", parent)?;
    } else {
        make(root, parent)?;
    }
    make_one(directory)
}

/// Makes one directory in an existing one, without flushing. `Ok(false)` when it was there.
///
/// # Errors
/// `NotFound` when the one above is not there.
fn make_one(directory: &Path) -> Result<bool, StorageError> {
    let create = || fs::create_dir(directory);
    let made = match create() {
        // The one above was removed by another server, and perhaps made again.
        Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => {
            directory.parent().map(lookup::look_again);
            create()
        }
        result => result,
    };
    match made {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).context("make directory", directory),
    }
}
