//! Whom the tree belongs to: whether we may write its directories and read its files, and whether registry:2
//! still may when it is put back.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::Access;

use super::report::{Finding, Trial};
use crate::storage::layout::Layout;

/// Directories at this depth or above are looked at whole; deeper ones are sampled.
const WHOLE_DEPTH: usize = 2;

/// Entries looked at in a directory that is sampled.
const SAMPLE: usize = 8;

/// Entries looked at in all, and the time for it: on a large volume over NFS each is a request.
const MOST_ENTRIES: usize = 10_000;
const MOST_TIME: Duration = Duration::from_secs(20);

/// What was found on the way through the tree.
#[derive(Debug, Default)]
struct Tally {
    entries: usize,
    cut_short: bool,
    unwritable: Found,
    unreadable: Found,
    /// Entries by owner.
    owners: BTreeMap<u32, Found>,
}

/// How many, and the first of them.
#[derive(Debug, Default)]
struct Found {
    count: usize,
    example: PathBuf,
}

impl Found {
    fn note(&mut self, path: &Path) {
        if self.count == 0 {
            self.example = path.to_path_buf();
        }
        self.count += 1;
    }
}

/// Looks at the tree below `v2`. `uid` is whom the files that we make belong to.
pub(super) fn trial(v2: &Path, uid: u32, writable: bool) -> Trial {
    let layout = Layout::new(v2.to_path_buf());
    let tally = walk([layout.blobs(), layout.repositories()]);
    let entries = tally.entries;
    let extent = if tally.cut_short { "the first " } else { "" };
    let owners: Vec<String> =
        tally.owners.iter().map(|(uid, found)| format!("{} of uid {uid}", found.count)).collect();
    let owners = if owners.is_empty() { "no files yet".to_owned() } else { owners.join(", ") };
    Trial::of("ownership", format!("{extent}{entries} entries: {owners}"), judge(&tally, v2, uid, writable))
}

fn walk(tops: [PathBuf; 2]) -> Tally {
    let started = Instant::now();
    let mut tally = Tally::default();
    // Breadth first: the directories that are written most are near the top.
    let mut queue: VecDeque<(PathBuf, usize)> = tops.into_iter().map(|top| (top, 0)).collect();
    while let Some((path, depth)) = queue.pop_front() {
        if tally.entries >= MOST_ENTRIES || started.elapsed() > MOST_TIME {
            tally.cut_short = true;
            break;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        tally.entries += 1;
        tally.owners.entry(metadata.uid()).or_default().note(&path);
        if metadata.is_dir() {
            if !may(&path, Access::WRITE_OK | Access::EXEC_OK) {
                tally.unwritable.note(&path);
            }
            match fs::read_dir(&path) {
                Err(_) => tally.unreadable.note(&path),
                Ok(entries) => {
                    let most = if depth < WHOLE_DEPTH { usize::MAX } else { SAMPLE };
                    queue.extend(entries.flatten().take(most).map(|entry| (entry.path(), depth + 1)));
                }
            }
        } else if metadata.is_file() && !may(&path, Access::READ_OK) {
            tally.unreadable.note(&path);
        }
    }
    tally
}

/// As the kernel, or the file server, decides for this process.
fn may(path: &Path, access: Access) -> bool {
    rustix::fs::accessat(rustix::fs::CWD, path, access, rustix::fs::AtFlags::EACCESS).is_ok()
}

fn judge(tally: &Tally, v2: &Path, uid: u32, writable: bool) -> Vec<Finding> {
    let shown = v2.display();
    let take_over = format!(
        "run the doctor as the account of the server (sudo -u NAME pakhuis doctor ...); if it is that: chown -R {uid} {shown}"
    );
    let mut findings = Vec::new();
    if tally.unreadable.count > 0 {
        findings.push(Finding::error(
            format!(
                "{} files or directories cannot be read, such as {}",
                tally.unreadable.count,
                tally.unreadable.example.display()
            ),
            "pulls of them are answered with 503",
            take_over.clone(),
        ));
    }
    if writable && tally.unwritable.count > 0 {
        findings.push(Finding::error(
            format!(
                "{} directories cannot be written, such as {}",
                tally.unwritable.count,
                tally.unwritable.example.display()
            ),
            "pushes that need them are answered with 503",
            take_over.clone(),
        ));
    }
    let foreign: Vec<String> = tally
        .owners
        .iter()
        .filter(|(owner, _)| **owner != uid)
        .map(|(owner, found)| format!("{} of uid {owner}, such as {}", found.count, found.example.display()))
        .collect();
    if !foreign.is_empty() {
        findings.push(Finding::warning(
            format!("what is made now belongs to uid {uid}, but there are files of others: {}", foreign.join("; ")),
            "if you go back to registry:2 under the other uid, it cannot write what Pakhuis made; the same for a second server",
            take_over,
        ));
    }
    findings
}
