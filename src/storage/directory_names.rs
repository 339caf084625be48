//! The names in directories, sorted, and remembered while a directory is as it was: a page of a list costs by the page.
//!
//! Whether it is as it was is asked of the volume each time, in one call: a name that comes or goes changes the times
//! of its directory. Within one tick of the file server's clock two changes leave the same times, so a list is believed
//! only when the directory had been seen unchanged for longer than that before the list was read. No clocks are
//! compared.

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::sync::Cache;
use rustix::fs::Dir;

use super::{
    error::{IoContext, StorageError},
    file_identity::FileIdentity,
    lookup,
};

/// Memory for lists, in bytes: a million tags, or the directories of 100,000 repositories.
const CAPACITY: u64 = 24 << 20;

/// Longer than a tick of any kernel's clock, which is 1 to 10 ms.
const LONGER_THAN_A_TICK: Duration = Duration::from_millis(100);

/// The same on a file system that keeps times in seconds, or in pairs of them.
const LONGER_THAN_TWO_SECONDS: Duration = Duration::from_millis(2500);

/// Names in byte order, close together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SortedNames {
    text: Box<str>,
    /// Where each name ends in the text.
    ends: Box<[u32]>,
}

impl SortedNames {
    fn new(mut names: Vec<String>) -> Self {
        names.sort_unstable();
        let mut text = String::with_capacity(names.iter().map(String::len).sum());
        let mut ends = Vec::with_capacity(names.len());
        for name in names {
            text.push_str(&name);
            // 4 GiB of names do not fit into a directory that can be listed.
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Self { text: text.into(), ends: ends.into() }
    }

    fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }

    /// The names from the first on that is not below `bound`.
    pub(super) fn from(&self, bound: &str) -> impl Iterator<Item = &str> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle) < bound {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low..self.ends.len()).map(|index| self.get(index))
    }

    /// All names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|index| self.get(index))
    }

    /// Whether there is such a name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.from(name).next() == Some(name)
    }

    fn size(&self) -> usize {
        self.text.len() + 4 * self.ends.len()
    }
}

/// The names in a directory at a moment.
#[derive(Clone, Debug, Default)]
pub struct Names(pub(super) Arc<SortedNames>);

impl Names {
    /// Whether they are known to be those of the other moment, without being compared one by one.
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.ends.len()
    }

    /// The names in byte order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter()
    }
}

#[derive(Clone, Debug)]
struct Remembered {
    /// The directory when it was listed.
    state: FileIdentity,
    /// When it was first seen like that.
    since: Instant,
    /// Whether nothing can have changed that its times do not show.
    is_sure: bool,
    names: Arc<SortedNames>,
}

/// See the module. By the whole path as text, which is hashed in one go; a path is hashed component by component.
#[derive(Debug)]
pub(super) struct DirectoryNames(Cache<OsString, Remembered>);

impl Default for DirectoryNames {
    fn default() -> Self {
        let weight = |path: &OsString, remembered: &Remembered| {
            let size = path.len() + remembered.names.size() + 300;
            u32::try_from(size).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(CAPACITY).weigher(weight).build())
    }
}

impl DirectoryNames {
    /// The names in a directory of `parent`, which was just opened: one that is remembered costs one call.
    pub(super) fn list_in(
        &self,
        root: &Path,
        parent: &File,
        directory: &Path,
    ) -> Result<Option<Arc<SortedNames>>, StorageError> {
        if let Some(known) = self.0.get(directory.as_os_str()).filter(|known| known.is_sure)
            && lookup::state_in(parent, directory) == Some(known.state)
        {
            return Ok(Some(known.names));
        }
        self.list(root, directory)
    }

    /// The names in a directory now; `None` when it is not there.
    pub(super) fn list(
        &self,
        root: &Path,
        directory: &Path,
    ) -> Result<Option<Arc<SortedNames>>, StorageError> {
        let Some(opened) = lookup::open_to_list(root, directory)? else { return Ok(None) };
        let state = FileIdentity::from(&opened.metadata().context("look up", directory)?);
        let known = self.0.get(directory.as_os_str()).filter(|known| known.state == state);
        if let Some(known) = known.as_ref().filter(|known| known.is_sure) {
            return Ok(Some(known.names.clone()));
        }
        let since = known.map_or_else(Instant::now, |known| known.since);
        let is_sure = since.elapsed() > longest_tick(&state);
        let names = Arc::new(SortedNames::new(read(opened).context("list", directory)?));
        let remembered = Remembered { state, since, is_sure, names: names.clone() };
        self.0.insert(directory.into(), remembered);
        Ok(Some(names))
    }
}

fn longest_tick(state: &FileIdentity) -> Duration {
    if state.has_whole_seconds() { LONGER_THAN_TWO_SECONDS } else { LONGER_THAN_A_TICK }
}

fn read(directory: File) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::new(directory)? {
        // What is not UTF-8 is not ours.
        match entry?.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::{fs, thread::sleep};

    use super::*;

    fn list(names: &DirectoryNames, directory: &Path) -> Vec<String> {
        let root = directory.ancestors().nth(2).unwrap();
        names.list(root, directory).unwrap().unwrap().iter().map(str::to_owned).collect()
    }

    #[test]
    fn names_are_found_in_order() {
        let names = SortedNames::new(["b", "", "ab", "a"].map(str::to_owned).to_vec());
        assert_eq!(names.iter().collect::<Vec<_>>(), ["", "a", "ab", "b"]);
        assert_eq!(names.from("a").collect::<Vec<_>>(), ["a", "ab", "b"]);
        assert_eq!(names.from("aa").collect::<Vec<_>>(), ["ab", "b"]);
        assert_eq!(names.from("c").count(), 0);
        assert!(names.contains("ab") && !names.contains("aba"));
        assert_eq!(SortedNames::default().from("").count(), 0);
    }

    #[test]
    fn every_change_is_seen_however_fast() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("app/tags");
        fs::create_dir_all(&directory).unwrap();
        let names = DirectoryNames::default();
        for round in 0..400 {
            fs::create_dir(directory.join(format!("{round:03}"))).unwrap();
            assert_eq!(list(&names, &directory).len(), round + 1);
            if round % 100 == 0 {
                sleep(LONGER_THAN_A_TICK + Duration::from_millis(5));
            }
        }
        fs::remove_dir(directory.join("007")).unwrap();
        assert_eq!(list(&names, &directory).len(), 399);
    }

    #[test]
    fn a_quiet_directory_is_read_twice_and_then_remembered() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("app/tags");
        fs::create_dir_all(&directory).unwrap();
        fs::create_dir(directory.join("v1")).unwrap();
        let names = DirectoryNames::default();
        let is_sure = || names.0.get(directory.as_os_str()).unwrap().is_sure;
        list(&names, &directory);
        assert!(!is_sure(), "a change in the same tick would not show");
        sleep(LONGER_THAN_A_TICK + Duration::from_millis(5));
        list(&names, &directory);
        assert!(is_sure());
        let parent = File::open(root.path().join("app")).unwrap();
        let list_in = || names.list_in(root.path(), &parent, &directory).unwrap().unwrap();
        assert!(Arc::ptr_eq(&list_in(), &list_in()), "what is remembered");
        fs::create_dir(directory.join("v2")).unwrap();
        assert!(list_in().contains("v2"));
        assert_eq!(list(&names, &directory), ["v1", "v2"]);
        assert!(!is_sure());
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(names.list(root.path(), &directory).unwrap(), None);
    }
}
