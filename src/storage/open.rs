//! Opening a volume: finding the tree of registry:2 below the root, or making it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
    time::Duration,
};

use uuid::Uuid;

use super::{
    Storage, StorageError, ages::LastLook, atomic_file, directories, directory_names::DirectoryNames,
    layout::Layout, lookup, settled::Settled,
};
use crate::oci::RepositoryName;

/// Where the volume is.
#[derive(Clone, Debug)]
pub struct Config {
    /// registry:2's `rootdirectory`, or the directory above `v2`.
    pub root: PathBuf,
    /// A file outside the volume that remembers which roots were in use, so that a share that is not mounted is
    /// not taken for a new volume. `None`: not remembered.
    pub remembered_roots: Option<PathBuf>,
    /// Never make the tree: where there is none, the share is not mounted.
    pub must_exist: bool,
    /// Bytes that uploads leave free, so that manifests, tags and deletes still work on a volume that is full; of a
    /// small volume at most a twentieth.
    pub keep_free: u64,
    /// After how long without a byte another request may take an upload over from a server that died.
    pub upload_takeover_after: Duration,
}

impl Config {
    /// A volume below `root`, with the defaults: nothing remembered, 64 MiB kept free, uploads taken over after
    /// 120 s.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            remembered_roots: None,
            must_exist: false,
            keep_free: 64 << 20,
            upload_takeover_after: Duration::from_secs(120),
        }
    }
}

/// Why a volume cannot be opened. Texts are for the operator.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum OpenError {
    #[error(
        "{} holds two registries, {} and {}; move one away or name the directory of one", .root.display(), .root.join(V2).display(), .root.join(DEEP_V2).display()
    )]
    TwoTrees { root: PathBuf },
    #[error(
        "the storage {} was in use and is empty now; is the share mounted? To start with an empty registry there, remove its line from {}", .root.display(), .remembered.display()
    )]
    LooksUnmounted { root: PathBuf, remembered: PathBuf },
    #[error(
        "{} lacks {missing} although the registry was in use; is the share mounted, or the directory moved?", .v2.display()
    )]
    Incomplete { v2: PathBuf, missing: &'static str },
    #[error(
        "there is no registry in {}: neither v2 nor docker/registry/v2 is there; is the share mounted? Name the directory that the server uses with --storage DIR, or its configuration with --config FILE", .root.display()
    )]
    NoTree { root: PathBuf },
    #[error(
        "there is no registry in {}: neither v2 nor docker/registry/v2 is there; is the share mounted? To start with an empty registry there, make {}", .root.display(), .root.join(DEEP_V2).join("repositories").display()
    )]
    MustExist { root: PathBuf },
    #[error("cannot open the storage {}", .root.display())]
    Storage { root: PathBuf, source: StorageError },
    #[error("cannot read or write {}", .path.display())]
    Remembered { path: PathBuf, source: io::Error },
}

pub(super) const V2: &str = "v2";
pub(super) const DEEP_V2: &str = "docker/registry/v2";

impl Storage {
    /// Opens the volume of `config.root`; makes the tree when there is none and never was.
    ///
    /// # Errors
    /// When there are two trees, the tree is incomplete, or it was there before and no longer is.
    pub fn open(mut config: Config) -> Result<Self, OpenError> {
        // A relative path has no parent to flush.
        config.root = absolute(&config.root);
        let v2 = match find_tree(&config.root)? {
            Some(v2) => v2,
            None if config.must_exist => return Err(OpenError::MustExist { root: config.root }),
            None => {
                refuse_if_remembered(&config)?;
                config.root.join(DEEP_V2)
            }
        };
        let mut storage = Self {
            layout: Layout::new(v2),
            config,
            settled: Settled::default(),
            names: DirectoryNames::default(),
            last_look: LastLook::default(),
            content_reads: AtomicU64::new(0),
        };
        storage.complete_tree()?;
        storage.settled = Settled::of(storage.layout.v2());
        storage.settle_tree()?;
        if let Err(error) = remember(&storage.config)
            && !storage.config.must_exist
        {
            // An account that may only read its configuration serves all the same.
            tracing::warn!(%error, "a share that is not mounted will not be noticed: cannot note that this storage is in use");
        }
        Ok(storage)
    }

    /// Opens a volume that is there, and makes nothing: for a command that looks at it or mends it.
    ///
    /// # Errors
    /// When there are two trees or none.
    pub fn open_existing(mut config: Config) -> Result<Self, OpenError> {
        config.root = absolute(&config.root);
        let v2 = find_tree(&config.root)?.ok_or_else(|| OpenError::NoTree { root: config.root.clone() })?;
        Ok(Self {
            settled: Settled::of(&v2),
            layout: Layout::new(v2),
            config,
            names: DirectoryNames::default(),
            last_look: LastLook::default(),
            content_reads: AtomicU64::new(0),
        })
    }

    /// The `v2` directory everything is below.
    pub fn directory(&self) -> &Path {
        self.layout.v2()
    }

    /// Makes the two directories registry:2's garbage collector insists on, and our own as the mark of use.
    fn complete_tree(&self) -> Result<(), OpenError> {
        let layout = &self.layout;
        if layout.private().is_dir() {
            for (directory, missing) in [(layout.blobs(), "blobs"), (layout.repositories(), "repositories")] {
                if !directory.is_dir() {
                    return Err(OpenError::Incomplete { v2: layout.v2().to_path_buf(), missing });
                }
            }
            return Ok(());
        }
        for directory in [layout.blobs(), layout.repositories(), layout.private()] {
            match atomic_file::make_tree(&directory) {
                // A read-only volume still serves pulls.
                Err(StorageError::ReadOnly { .. }) if is_tree(layout.v2()) => {
                    tracing::warn!(directory = %directory.display(), "the volume cannot be written");
                }
                Err(source) => return Err(OpenError::Storage { root: self.config.root.clone(), source }),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Makes the names that lead to the tree durable: another server may have made them a moment ago, and died.
    fn settle_tree(&self) -> Result<(), OpenError> {
        let root = self.config.root.as_path();
        for directory in self.layout.v2().ancestors().take_while(|ancestor| ancestor.starts_with(root)) {
            match atomic_file::sync_directory(directory) {
                // A read-only volume still serves pulls.
                Ok(_) | Err(StorageError::ReadOnly { .. }) => {}
                Err(source) => return Err(OpenError::Storage { root: root.to_path_buf(), source }),
            }
        }
        // Above the root nothing is ours, and it may not be ours to look at.
        let _ = root.parent().map(atomic_file::sync_directory);
        Ok(())
    }

    /// Makes the directories without which registry:2 does not see a repository, or deletes its data when it
    /// collects garbage. `_layers` comes last: where it is, the others are.
    pub(super) fn ensure_repository(&self, repository: &RepositoryName) -> Result<(), StorageError> {
        let (layers, tags) = (self.layout.layers(repository), self.layout.tags(repository));
        let found = fs::metadata(&layers).ok().filter(fs::Metadata::is_dir);
        if found.is_some_and(|found| self.settled.contains(&layers, found.ino())) {
            return Ok(());
        }
        let (revisions, uploads) = (self.layout.revisions(repository), self.layout.uploads(repository));
        for directory in [&revisions, &tags, &uploads, &layers] {
            directories::make(self.layout.v2(), directory)?;
        }
        // Whoever made them: another server may not have come to it yet, or have died.
        self.settle_names(&[&revisions, &tags, &layers])
    }

    /// Tries the volume: lists its top, then writes and removes a file.
    pub fn check_writable(&self) -> Result<(), StorageError> {
        let private = self.layout.private();
        for directory in [self.layout.blobs(), self.layout.repositories(), private.clone()] {
            lookup::require_directory(&directory)?;
        }
        let name = format!("check-{}", Uuid::new_v4().simple());
        atomic_file::put_volatile(&private, &name, b"check")?;
        atomic_file::remove(self.layout.v2(), &private.join(name)).map(drop)
    }
}

/// The one tree below a root, if there is one.
fn find_tree(root: &Path) -> Result<Option<PathBuf>, OpenError> {
    let (shallow, deep) = (root.join(V2), root.join(DEEP_V2));
    match (is_tree(&shallow), is_tree(&deep)) {
        (true, true) => Err(OpenError::TwoTrees { root: root.to_path_buf() }),
        (true, false) => Ok(Some(shallow)),
        (false, true) => Ok(Some(deep)),
        (false, false) => Ok(None),
    }
}

pub(super) fn is_tree(v2: &Path) -> bool {
    v2.join("blobs").is_dir() || v2.join("repositories").is_dir()
}

/// Whether the root is noted as one that was in use.
pub(super) fn is_remembered(config: &Config, root: &Path) -> bool {
    let noted = config.remembered_roots.as_deref().map(read_remembered);
    noted.is_some_and(|noted| noted.is_ok_and(|text| text.lines().any(|line| Path::new(line) == root)))
}

fn refuse_if_remembered(config: &Config) -> Result<(), OpenError> {
    let Some(path) = &config.remembered_roots else { return Ok(()) };
    if read_remembered(path)?.lines().any(|line| Path::new(line) == config.root) {
        return Err(OpenError::LooksUnmounted { root: config.root.clone(), remembered: path.clone() });
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "not on the volume; losing this file loses a warning")]
fn remember(config: &Config) -> Result<(), OpenError> {
    let Some(path) = &config.remembered_roots else { return Ok(()) };
    let mut text = read_remembered(path)?;
    let root = &config.root;
    if text.lines().any(|line| Path::new(line) == root) {
        return Ok(());
    }
    text.push_str(&root.to_string_lossy());
    text.push('\n');
    fs::write(path, text).map_err(|source| OpenError::Remembered { path: path.clone(), source })
}

fn read_remembered(path: &Path) -> Result<String, OpenError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        result => result.map_err(|source| OpenError::Remembered { path: path.to_path_buf(), source }),
    }
}

pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
