//! Which registry is below the root, whether all of it is there, and whether it is on one file system.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    mount_table::MountTable,
    report::{Finding, Trial},
};
use crate::storage::{
    layout::Layout,
    open::{Config, DEEP_V2, V2, is_remembered, is_tree},
};

/// What is below a root.
#[derive(Debug)]
pub(super) struct Tree {
    /// `None` when there is none, or two.
    pub(super) v2: Option<PathBuf>,
    pub(super) trial: Trial,
}

/// Looks for the registry as the server does when it starts, and makes nothing.
pub(super) fn find(config: &Config, root: &Path) -> Tree {
    let (shallow, deep) = (root.join(V2), root.join(DEEP_V2));
    let shown = root.display();
    let (v2, seen, findings) = match (is_tree(&shallow), is_tree(&deep)) {
        (true, true) => {
            let problem = format!("{} and {} are two registries", shallow.display(), deep.display());
            let advice = format!(
                "find the one with the images: du -s {} {}    and move the other away",
                shallow.display(),
                deep.display()
            );
            (
                None,
                "two registries".to_owned(),
                vec![Finding::error(problem, "the server does not start", advice)],
            )
        }
        (true, false) => known(shallow),
        (false, true) => known(deep),
        (false, false) if let Some(finding) = hidden(root, [&shallow, &deep]) => {
            (None, "cannot be looked at".to_owned(), vec![finding])
        }
        (false, false) if !root.is_dir() => {
            let problem = format!("{shown} is not there");
            let breaks = "the server makes an empty registry there; the images are elsewhere";
            let advice = format!("if it is a share: mount it; if it shall be new: mkdir -p {shown}");
            (None, "no directory".to_owned(), vec![Finding::error(problem, breaks, advice)])
        }
        (false, false) if is_remembered(config, root) => {
            let problem = format!("{shown} held a registry before, and holds none now");
            let advice = format!("findmnt --target {shown}    and mount the share");
            let finding = Finding::error(problem, "the server does not start", advice);
            (None, "no registry".to_owned(), vec![finding])
        }
        (false, false) => {
            (None, format!("no registry yet; the server will make {}", deep.display()), Vec::new())
        }
    };
    Tree { v2, trial: Trial::of("registry", seen, findings) }
}

/// What is kept from us is not what is missing.
fn hidden(root: &Path, trees: [&Path; 2]) -> Option<Finding> {
    let inside = trees.map(|v2| [v2.to_path_buf(), Layout::new(v2.to_path_buf()).blobs()]);
    let error =
        |path: &Path| fs::metadata(path).err().filter(|error| error.kind() != io::ErrorKind::NotFound);
    let mut paths = std::iter::once(root.to_path_buf()).chain(inside.into_iter().flatten());
    let (path, error) = paths.find_map(|path| error(&path).map(|error| (path, error)))?;
    let path = path.display();
    Some(Finding::error(
        format!("{path} cannot be looked at: {error}"),
        "the server does not start",
        format!(
            "namei -l {path}    and run the doctor as the account of the server (sudo -u NAME pakhuis doctor ...)"
        ),
    ))
}

fn known(v2: PathBuf) -> (Option<PathBuf>, String, Vec<Finding>) {
    let layout = Layout::new(v2.clone());
    let ours = layout.private().is_dir();
    let missing = [layout.blobs(), layout.repositories()].into_iter().find(|directory| !directory.is_dir());
    let finding = missing.filter(|_| ours).map(|directory| {
        let advice = format!("findmnt --target {}    and mount what is missing, or restore it", v2.display());
        let problem = format!("{} is missing although the registry was in use", directory.display());
        Finding::error(problem, "the server does not start", advice)
    });
    let by = if ours { "served by Pakhuis before" } else { "of registry:2" };
    let seen = format!("{}, {by}", v2.display());
    (Some(v2), seen, finding.into_iter().collect())
}

/// An upload is renamed to a blob, so both must be on one mount: even two of one file system do not do.
pub(super) fn one_mount(v2: &Path, table: &MountTable) -> Trial {
    const NAME: &str = "one file system";
    let layout = Layout::new(v2.to_path_buf());
    let on = |directory: &Path| {
        let directory = fs::canonicalize(directory).ok()?;
        let mount_point = table.holding(&directory).map(|mount| mount.mount_point.clone());
        Some((fs::metadata(&directory).ok()?.dev(), mount_point))
    };
    let Some(expected) = on(v2) else { return Trial::not_tried(NAME, "the directory cannot be looked up") };
    let elsewhere = [layout.blobs(), layout.repositories(), layout.private()]
        .into_iter()
        .find(|directory| on(directory).is_some_and(|found| found != expected));
    let finding = elsewhere.map(|directory| {
        let problem = format!("{} is on another mount than {}", directory.display(), v2.display());
        let advice = "mount the directory above v2 as one; no mount, bind mount or symbolic link inside it";
        Finding::error(problem, "every push fails: an upload cannot be renamed to a blob (EXDEV)", advice)
    });
    let seen = if finding.is_some() { "no" } else { "blobs, uploads and links on one mount" };
    Trial::of(NAME, seen, finding.into_iter().collect())
}
