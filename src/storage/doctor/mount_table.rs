//! `/proc/self/mountinfo` and `/etc/fstab` as values: which mount a path is on, and how it is mounted. Text only.
//!
//! The formats are those of proc(5) and fstab(5); both write space, tab, newline and backslash as three octal
//! digits after a backslash.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    #[serde(skip)]
    id: u64,
    #[serde(skip)]
    parent: u64,
    /// The directory of the file system that is mounted; not `/` for a bind mount.
    pub subdirectory: PathBuf,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Type of the file system, such as `ext4`, `nfs4` or `fuse.sshfs`.
    pub file_system: String,
    /// What is mounted, such as `/dev/sda1` or `server:/export`.
    pub source: String,
    /// The options of the mount, then those of the file system that are not among them, as the kernel writes them.
    pub options: Vec<String>,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let id = fields.next()?.parse().ok()?;
        let parent = fields.next()?.parse().ok()?;
        let _device = fields.next()?;
        let subdirectory = unescape(fields.next()?).into();
        let mount_point = unescape(fields.next()?).into();
        let mut options: Vec<String> = fields.next()?.split(',').map(unescape).collect();
        let mut fields = after.split(' ');
        let file_system = unescape(fields.next()?);
        // An empty source is written as nothing between two spaces.
        let source = unescape(fields.next()?);
        for option in fields.next().unwrap_or_default().split(',').map(unescape) {
            if !option.is_empty() && !options.contains(&option) {
                options.push(option);
            }
        }
        Some(Self { id, parent, subdirectory, mount_point, file_system, source, options })
    }

    /// Whether the option without a value is set.
    pub fn has(&self, flag: &str) -> bool {
        self.options.iter().any(|option| option == flag)
    }

    /// The value of `name=value`; of several, the last, which is the file system's.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether it cannot be written through this mount, or at all.
    pub fn is_read_only(&self) -> bool {
        self.has("ro")
    }

    /// Whether it is NFS of any version.
    pub fn is_nfs(&self) -> bool {
        matches!(self.file_system.as_str(), "nfs" | "nfs4")
    }

    /// File system, source, mount point and options, on one line.
    pub fn describe(&self) -> String {
        format!(
            "{} {} on {} ({})",
            self.file_system,
            self.source,
            self.mount_point.display(),
            self.options.join(",")
        )
    }
}

/// All mounts that a process sees.
#[derive(Clone, Debug, Default)]
pub(super) struct MountTable(Vec<Mount>);

impl MountTable {
    /// Reads the text of `/proc/self/mountinfo`; lines of another form are passed over.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(Mount::parse).collect())
    }

    /// The mounts of this process; empty where there is no `/proc`.
    pub(super) fn of_this_process() -> Self {
        let bytes = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }

    /// The mount that `path`, absolute and without symbolic links, is on: found as the kernel does, from the root
    /// down through each mount on the way. So the last of several on one point counts, and one that a later mount
    /// above it hides does not.
    pub(super) fn holding(&self, path: &Path) -> Option<&Mount> {
        let is_child = |mount: &Mount| self.0.iter().any(|other| other.id == mount.parent && other != mount);
        let root = Path::new("/");
        let mut current = self.0.iter().find(|mount| mount.mount_point == root && !is_child(mount))?;
        let ancestors: Vec<&Path> = path.ancestors().collect();
        for ancestor in ancestors.into_iter().rev() {
            while let Some(next) = self.0.iter().rev().find(|mount| {
                mount.parent == current.id && mount.mount_point == ancestor && mount.id != current.id
            }) {
                current = next;
            }
        }
        Some(current)
    }
}

/// A line of `/etc/fstab`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedMount {
    pub(super) source: String,
    pub(super) mount_point: PathBuf,
    pub(super) file_system: String,
}

/// Reads the text of `/etc/fstab`.
pub(super) fn parse_fstab(text: &str) -> Vec<PlannedMount> {
    let planned = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        Some(PlannedMount {
            source: unescape(fields.next()?),
            mount_point: unescape(fields.next()?).into(),
            file_system: fields.next()?.to_owned(),
        })
    };
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(planned).collect()
}

/// Replaces each backslash with three octal digits by the byte it stands for.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after
            .get(..3)
            .filter(|digits| first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        let value = escaped.and_then(|digits| {
            u8::try_from(digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'))).ok()
        });
        match value {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
