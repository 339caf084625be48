//! Volumes of the test's own, and what may be found on one.

use std::{
    ffi::CString,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use tempfile::TempDir;

use super::image::{sha256, sha512};
use crate::program::{program, run};

/// A file system mounted for a test; unmounted when it is dropped.
pub(crate) struct Volume {
    directory: TempDir,
    /// What it is an image of, when it is one.
    _image: Option<TempDir>,
}

impl Volume {
    /// In memory, with the given options, such as `size=64m,nr_inodes=1000`.
    pub(crate) fn in_memory(options: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("pakhuis-volume-").tempdir().expect("a directory");
        let data = CString::new(options).expect("options without a zero");
        mount("tmpfs", directory.path(), "tmpfs", MountFlags::empty(), data.as_c_str())
            .expect("a tmpfs is mounted; these tests need root");
        Self { directory, _image: None }
    }

    /// An image of `size` MiB, made by `mkfs` and mounted through a loop device.
    pub(crate) fn on_loop_device(mkfs: &str, package: &str, options: &[&str], size: u64) -> Self {
        let image = tempfile::Builder::new().prefix("pakhuis-image-").tempdir().expect("a directory");
        let directory = tempfile::Builder::new().prefix("pakhuis-volume-").tempdir().expect("a directory");
        let file = image.path().join("image");
        fs::File::create(&file).and_then(|file| file.set_len(size << 20)).expect("a sparse file");
        run(program(mkfs, package).args(options).arg(&file));
        run(program("mount", "mount").args(["-o", "loop"]).arg(&file).arg(directory.path()));
        Self { directory, _image: Some(image) }
    }

    /// Lets nobody write, or everybody again. Waits while a file is open for writing.
    pub(crate) fn remount(&self, read_only: bool) {
        let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        for _ in 0..500 {
            match mount_remount(self.root(), flags, c"") {
                Err(rustix::io::Errno::BUSY) => std::thread::sleep(Duration::from_millis(10)),
                result => return result.expect("our own volume is remounted"),
            }
        }
        panic!("a file stays open for writing");
    }

    /// Writes a file beside the tree until less than `left` bytes are free.
    pub(crate) fn fill(&self, left: u64) -> Filler {
        let path = self.root().join("filler");
        let mut file = fs::File::create(&path).expect("a file on the volume");
        let (mut block, filler) = (vec![7; 1 << 20], Filler(path));
        while !block.is_empty() {
            if file.write_all(&block).and_then(|()| file.sync_data()).is_err() {
                block.truncate(block.len() / 2);
            }
        }
        let length = file.metadata().expect("our file").len();
        file.set_len(length.saturating_sub(left)).expect("our file gets shorter");
        file.sync_all().expect("our file is flushed");
        filler
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The tree of the registry.
    pub(crate) fn v2(&self) -> PathBuf {
        self.root().join("docker/registry/v2")
    }

    /// Removes all images and uploads, as long as nobody writes.
    pub(crate) fn wipe(&self) {
        for directory in ["blobs", "repositories"] {
            for entry in fs::read_dir(self.v2().join(directory)).expect("the tree").flatten() {
                fs::remove_dir_all(entry.path()).expect("a directory of the tree");
            }
        }
    }

    /// Whether content is stored under a digest, whatever repository has it.
    pub(crate) fn has_blob(&self, digest: &str) -> bool {
        let (algorithm, hex) = digest.split_once(':').expect("a digest");
        self.v2().join("blobs").join(algorithm).join(&hex[..2]).join(hex).join("data").exists()
    }

    /// Waits a moment until nothing is in the way that the server removes by itself every two seconds.
    pub(crate) async fn tidied(&self) -> Findings {
        for _ in 0..50 {
            let findings = self.examine();
            if findings.left.is_empty() {
                return findings;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.examine()
    }

    /// Looks at every file of the tree.
    pub(crate) fn examine(&self) -> Findings {
        examine_tree(&self.v2())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = unmount(self.directory.path(), UnmountFlags::DETACH);
    }
}

/// A file that takes the room on a volume, until it is dropped.
pub(crate) struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        // Some file systems give the room back only with the next transaction.
        rustix::fs::sync();
    }
}

/// What was found on a volume.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Visible files that are not what their place says: these break the promise.
    pub(crate) broken: Vec<String>,
    /// Upload sessions, temporary files, things set aside.
    pub(crate) left: Vec<String>,
}

/// Looks at every file of a tree.
pub(crate) fn examine_tree(v2: &Path) -> Findings {
    let mut findings = Findings::default();
    for directory in ["blobs", "repositories", ".pakhuis"] {
        examine(&v2.join(directory), &mut findings);
    }
    findings
}

fn examine(directory: &Path, findings: &mut Findings) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.parent().is_some_and(|parent| parent.ends_with("_uploads")) {
            let inside = fs::read_dir(&path).into_iter().flatten().flatten();
            let names: Vec<_> = inside.map(|entry| kind(&entry.file_name().to_string_lossy())).collect();
            findings.left.push(format!("upload with {names:?}"));
        } else if path.is_dir() {
            examine(&path, findings);
        } else if name == "link" {
            examine_link(&path, findings);
        } else if name == "data" {
            examine_blob(&path, findings);
        } else if name.ends_with(".tmp") || !is_kept(&path) {
            findings.left.push(format!("file {} in {}", kind(&name), kind_of_directory(directory)));
        }
    }
}

/// Whether a file is one that Pakhuis keeps for later: what pages show of a manifest, and who pushed it, included.
fn is_kept(path: &Path) -> bool {
    let kept = |name: &str| matches!(name, "session-key" | "subjects" | "summaries" | "journal");
    path.components().any(|component| component.as_os_str().to_str().is_some_and(kept))
}

fn examine_link(path: &Path, findings: &mut Findings) {
    let link = fs::read_to_string(path).unwrap_or_default();
    let length = if link.starts_with("sha512:") { 135 } else { 71 };
    if link.len() != length || !link.starts_with("sha") {
        findings.broken.push(format!("{} holds {link:?}", path.display()));
    }
}

fn examine_blob(path: &Path, findings: &mut Findings) {
    let bytes = fs::read(path).unwrap_or_default();
    let filed_under = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let digest = if filed_under.len() == 128 { sha512(&bytes) } else { sha256(&bytes) };
    if !digest.ends_with(&*filed_under) {
        findings.broken.push(format!("{} has {digest}", path.display()));
    }
}

/// A name without its random part.
fn kind(name: &str) -> String {
    let mut parts: Vec<_> = name.split('.').collect();
    for part in &mut parts {
        if part.len() == 32 {
            *part = "*";
        }
    }
    parts.join(".")
}

fn kind_of_directory(directory: &Path) -> String {
    let mut text = directory.to_string_lossy().into_owned();
    if let Some(start) = text.find("/v2/") {
        text = text.split_off(start + 4);
    }
    text.split('/').map(|part| if part.len() >= 64 { "*" } else { part }).collect::<Vec<_>>().join("/")
}
