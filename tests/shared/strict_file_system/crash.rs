//! What a power cut may leave: the journal is read up to the cut, and of what was not flushed then a part is kept.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
};

use crate::random::Random;

use super::journal::{Binding, Inode, ROOT, Record};

/// Bytes that reach the disk together.
const PAGE: usize = 4096;

/// Which part of what was not flushed is kept.
pub(crate) enum Kept<'a> {
    /// Nothing: the disk wrote only what it had to.
    Nothing,
    /// Everything, as if the machine had been shut down.
    Everything,
    /// What the dice say.
    Some(&'a mut Random),
}

/// The disk at a point of the journal: what is durable, and what is on its way.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    directories: HashSet<Inode>,
    /// Durable names.
    names: BTreeMap<(Inode, String), Inode>,
    /// Changes of names that are not durable, in their order.
    pending: Vec<Pending>,
    files: HashMap<Inode, FileOnDisk>,
    /// How many changes of names there were.
    changes: usize,
}

#[derive(Clone)]
struct Pending {
    number: usize,
    bindings: Vec<Binding>,
    /// The change that must come first: the loss of an old name needs the new one.
    needs: Option<usize>,
}

#[derive(Clone, Default)]
struct FileOnDisk {
    durable: Arc<Vec<u8>>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Arc<[u8]>),
    Truncate(usize),
}

impl Disk {
    /// The next record happens.
    pub(crate) fn advance(&mut self, record: &Record) {
        match record {
            Record::New { inode, is_directory: true } => {
                self.directories.insert(*inode);
            }
            Record::New { inode, is_directory: false } => {
                self.files.insert(*inode, FileOnDisk::default());
            }
            Record::Write { file, offset, bytes } => {
                self.file(*file).pending.push(Change::Write(*offset, bytes.clone()));
            }
            Record::Truncate { file, length } => self.file(*file).pending.push(Change::Truncate(*length)),
            Record::Names(bindings) => self.change_names(bindings.clone(), None),
            Record::Departure(binding) => {
                let arrival = self.changes;
                self.change_names(vec![binding.clone()], Some(arrival));
            }
            Record::FlushFile(file) => {
                let file = self.file(*file);
                file.durable = Arc::new(file.current());
                file.pending.clear();
            }
            Record::FlushDirectory(directory) => self.flush_names(*directory),
        }
    }

    /// What the disk holds when the power is cut now.
    pub(crate) fn after_a_cut(&self, mut kept: Kept) -> Tree {
        let mut names = self.names.clone();
        for change in self.kept_names(&mut kept) {
            apply(&mut names, change);
        }
        let mut below: HashMap<Inode, Vec<(&str, Inode)>> = HashMap::new();
        for ((directory, name), inode) in &names {
            below.entry(*directory).or_default().push((name, *inode));
        }
        let (mut tree, mut contents) = (Tree::default(), HashMap::new());
        let mut to_do = vec![(ROOT, String::new())];
        while let Some((directory, path)) = to_do.pop() {
            for &(name, inode) in below.get(&directory).map_or(&[][..], Vec::as_slice) {
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                if self.directories.contains(&inode) {
                    tree.0.insert(path.clone(), Entry::Directory);
                    to_do.push((inode, path));
                } else if let Some(file) = self.files.get(&inode) {
                    let content = contents.entry(inode).or_insert_with(|| file.after_a_cut(&mut kept));
                    tree.0.insert(path, Entry::File(content.clone()));
                }
            }
        }
        tree
    }

    fn file(&mut self, inode: Inode) -> &mut FileOnDisk {
        self.files.entry(inode).or_default()
    }

    fn change_names(&mut self, bindings: Vec<Binding>, needs: Option<usize>) {
        self.changes += 1;
        self.pending.push(Pending { number: self.changes, bindings, needs });
    }

    /// A directory is flushed: its changes of names are durable, with all that they come after.
    fn flush_names(&mut self, directory: Inode) {
        let in_it = |change: &Pending| change.bindings.iter().any(|binding| binding.directory == directory);
        if !self.pending.iter().any(in_it) {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let wanted: Vec<bool> = pending.iter().map(in_it).collect();
        let chosen = with_what_they_need(&pending, &wanted);
        for (change, chosen) in pending.into_iter().zip(chosen) {
            if chosen {
                apply(&mut self.names, &change);
            } else {
                self.pending.push(change);
            }
        }
    }

    fn kept_names(&self, kept: &mut Kept) -> Vec<&Pending> {
        let wanted: Vec<bool> = match kept {
            Kept::Nothing => vec![false; self.pending.len()],
            Kept::Everything => vec![true; self.pending.len()],
            Kept::Some(dice) => {
                let percent = [5, 25, 50, 75, 95][dice.below(5)];
                self.pending.iter().map(|_| dice.chance(percent)).collect()
            }
        };
        let chosen = with_what_they_need(&self.pending, &wanted);
        self.pending.iter().zip(chosen).filter_map(|(change, chosen)| chosen.then_some(change)).collect()
    }
}

/// Adds to the changes that are wanted those that must come before them: earlier ones of the same names, and the
/// first half of a rename.
fn with_what_they_need(changes: &[Pending], wanted: &[bool]) -> Vec<bool> {
    let mut chosen = wanted.to_vec();
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for (change, chosen) in changes.iter().zip(&mut chosen).rev() {
        let own = || change.bindings.iter().map(|at| (at.directory, at.name.as_str()));
        *chosen = *chosen || numbers.contains(&change.number) || own().any(|name| names.contains(&name));
        if *chosen {
            names.extend(own());
            numbers.extend(change.needs);
        }
    }
    chosen
}

fn apply(names: &mut BTreeMap<(Inode, String), Inode>, change: &Pending) {
    for Binding { directory, name, inode } in &change.bindings {
        match inode {
            Some(inode) => names.insert((*directory, name.clone()), *inode),
            None => names.remove(&(*directory, name.clone())),
        };
    }
}

impl FileOnDisk {
    /// The bytes as programs saw them last.
    fn current(&self) -> Vec<u8> {
        let mut bytes = self.durable.to_vec();
        for change in &self.pending {
            change.apply(&mut bytes, |_| true);
        }
        bytes
    }

    fn after_a_cut(&self, kept: &mut Kept) -> Arc<Vec<u8>> {
        match kept {
            _ if self.pending.is_empty() => self.durable.clone(),
            Kept::Nothing => self.durable.clone(),
            Kept::Everything => Arc::new(self.current()),
            Kept::Some(dice) => Arc::new(self.torn(dice)),
        }
    }

    /// A number of the changes, the last of them in part, and of what they wrote some pages only.
    fn torn(&self, dice: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.to_vec();
        let whole = dice.below(self.pending.len() + 1);
        let percent = [0, 50, 90, 100][dice.below(4)];
        for change in &self.pending[..whole] {
            change.apply(&mut bytes, |_| dice.chance(percent));
        }
        if let Some(Change::Write(offset, written)) = self.pending.get(whole) {
            let part = written[..dice.below(written.len() + 1)].into();
            Change::Write(*offset, part).apply(&mut bytes, |_| dice.chance(percent));
        }
        bytes
    }
}

impl Change {
    /// Sets the length, and writes the pages that are kept; others are zeros, or what was there before.
    fn apply(&self, bytes: &mut Vec<u8>, mut keeps_page: impl FnMut(usize) -> bool) {
        match self {
            Self::Truncate(length) => bytes.resize(*length, 0),
            Self::Write(start, written) => {
                let end = start + written.len();
                bytes.resize(bytes.len().max(end), 0);
                let mut from = *start;
                while from < end {
                    let to = end.min((from / PAGE + 1) * PAGE);
                    if keeps_page(from / PAGE) {
                        bytes[from..to].copy_from_slice(&written[from - start..to - start]);
                    }
                    from = to;
                }
            }
        }
    }
}

/// Files and directories by their path from the root, directories before what is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tree(pub(crate) BTreeMap<String, Entry>);

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entry {
    Directory,
    File(Arc<Vec<u8>>),
}

impl Tree {
    /// Makes it in an empty directory of another file system.
    pub(crate) fn write_to(&self, directory: &Path) -> std::io::Result<()> {
        for (path, entry) in &self.0 {
            match entry {
                Entry::Directory => fs::create_dir(directory.join(path))?,
                Entry::File(bytes) => fs::write(directory.join(path), bytes.as_slice())?,
            }
        }
        Ok(())
    }

    /// Leaves out the files that are not wanted, and directories that lead to none that is.
    pub(crate) fn only(mut self, wanted: impl Fn(&str) -> bool) -> Self {
        let kept: Vec<String> = self.0.keys().filter(|path| wanted(path)).cloned().collect();
        let leads =
            |path: &str| kept.iter().any(|kept| kept == path || kept.starts_with(&format!("{path}/")));
        self.0.retain(|path, _| leads(path));
        self
    }

    /// A number that is the same for equal trees.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// The bytes of a file; `None` when it is not there.
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        match self.0.get(path) {
            Some(Entry::File(bytes)) => Some(bytes.as_slice()),
            _ => None,
        }
    }
}
