//! The store as a running program sees it, and the journal of its changes.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use fuser::Errno;

use super::journal::{Binding, Inode, ROOT, Record};

/// All files and directories, those without a name included: somebody may have them open.
pub(super) struct Live {
    nodes: HashMap<Inode, Node>,
    next_inode: Inode,
    pub(super) journal: Vec<Record>,
    /// How many seconds the clock of the file server is ahead of this machine's.
    pub(super) clock_ahead: i64,
}

/// A file or directory.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) content: Content,
    /// How many names it has.
    pub(super) links: u32,
    pub(super) mode: u16,
    pub(super) modified: SystemTime,
    /// One directory and name it was last given, for messages and for faults by path.
    pub(super) last_name: (Inode, String),
}

/// What it holds.
#[derive(Clone)]
pub(super) enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<String, Inode>),
}

impl Default for Live {
    fn default() -> Self {
        let root = Node::new(true, 0o755, (ROOT, String::new()), SystemTime::now());
        let nodes = HashMap::from([(ROOT, root)]);
        Self { nodes, next_inode: ROOT + 1, journal: Vec::new(), clock_ahead: 0 }
    }
}

impl Node {
    fn new(is_directory: bool, mode: u16, last_name: (Inode, String), modified: SystemTime) -> Self {
        let content =
            if is_directory { Content::Directory(BTreeMap::new()) } else { Content::File(Vec::new()) };
        Self { content, links: 1, mode, modified, last_name }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory(_))
    }
}

impl Live {
    pub(super) fn node(&self, inode: Inode) -> Result<&Node, Errno> {
        self.nodes.get(&inode).ok_or(Errno::ESTALE)
    }

    /// What a name means now.
    pub(super) fn find(&self, directory: Inode, name: &str) -> Result<Option<Inode>, Errno> {
        Ok(self.names(directory)?.get(name).copied())
    }

    /// The names in a directory that has a name itself.
    pub(super) fn names(&self, directory: Inode) -> Result<&BTreeMap<String, Inode>, Errno> {
        let node = self.node(directory)?;
        match &node.content {
            Content::Directory(_) if node.links == 0 => Err(Errno::ENOENT),
            Content::Directory(names) => Ok(names),
            Content::File(_) => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn read(&self, file: Inode, offset: u64, length: usize) -> Result<&[u8], Errno> {
        let Content::File(bytes) = &self.node(file)?.content else { return Err(Errno::EISDIR) };
        let start = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        Ok(&bytes[start..bytes.len().min(start + length)])
    }

    pub(super) fn create(
        &mut self,
        directory: Inode,
        name: &str,
        is_directory: bool,
        mode: u16,
    ) -> Result<Inode, Errno> {
        if self.find(directory, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        let node = Node::new(is_directory, mode, (directory, name.to_owned()), self.now());
        self.nodes.insert(inode, node);
        self.journal.push(Record::New { inode, is_directory });
        self.bind(vec![Binding { directory, name: name.to_owned(), inode: Some(inode) }]);
        Ok(inode)
    }

    pub(super) fn link(&mut self, inode: Inode, directory: Inode, name: &str) -> Result<(), Errno> {
        if self.find(directory, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let node = self.node_mut(inode)?;
        if node.is_directory() {
            return Err(Errno::EPERM);
        }
        if node.links == 0 {
            return Err(Errno::ENOENT);
        }
        node.links += 1;
        self.bind(vec![Binding { directory, name: name.to_owned(), inode: Some(inode) }]);
        Ok(())
    }

    pub(super) fn remove(
        &mut self,
        directory: Inode,
        name: &str,
        is_directory: bool,
    ) -> Result<Inode, Errno> {
        let inode = self.find(directory, name)?.ok_or(Errno::ENOENT)?;
        match (&self.node(inode)?.content, is_directory) {
            (Content::Directory(names), true) if !names.is_empty() => return Err(Errno::ENOTEMPTY),
            (Content::Directory(_), false) => return Err(Errno::EISDIR),
            (Content::File(_), true) => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.node_mut(inode)?.links -= 1;
        self.bind(vec![Binding { directory, name: name.to_owned(), inode: None }]);
        Ok(inode)
    }

    pub(super) fn rename(&mut self, from: (Inode, &str), to: (Inode, &str)) -> Result<Option<Inode>, Errno> {
        let inode = self.find(from.0, from.1)?.ok_or(Errno::ENOENT)?;
        let replaced = self.find(to.0, to.1)?;
        if replaced == Some(inode) {
            return Ok(None);
        }
        if let Some(replaced) = replaced {
            match (&self.node(replaced)?.content, self.node(inode)?.is_directory()) {
                (Content::Directory(names), true) if !names.is_empty() => return Err(Errno::ENOTEMPTY),
                (Content::Directory(_), false) => return Err(Errno::EISDIR),
                (Content::File(_), true) => return Err(Errno::ENOTDIR),
                _ => {}
            }
            self.node_mut(replaced)?.links -= 1;
        }
        let arrival = Binding { directory: to.0, name: to.1.to_owned(), inode: Some(inode) };
        let departure = Binding { directory: from.0, name: from.1.to_owned(), inode: None };
        if from.0 == to.0 {
            self.bind(vec![arrival, departure]);
        } else {
            self.bind(vec![arrival]);
            self.set_name(&departure);
            self.journal.push(Record::Departure(departure));
        }
        Ok(replaced)
    }

    pub(super) fn write(&mut self, file: Inode, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let offset = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
        let Content::File(content) = &mut self.node_mut(file)?.content else { return Err(Errno::EISDIR) };
        let end = offset + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset..end].copy_from_slice(bytes);
        self.touch(file)?;
        self.journal.push(Record::Write { file, offset, bytes: bytes.into() });
        Ok(())
    }

    pub(super) fn truncate(&mut self, file: Inode, length: u64) -> Result<(), Errno> {
        let length = usize::try_from(length).map_err(|_| Errno::EFBIG)?;
        let Content::File(content) = &mut self.node_mut(file)?.content else { return Err(Errno::EISDIR) };
        content.resize(length, 0);
        self.touch(file)?;
        self.journal.push(Record::Truncate { file, length });
        Ok(())
    }

    pub(super) fn flush(&mut self, inode: Inode) -> Result<(), Errno> {
        let is_directory = self.node(inode)?.is_directory();
        self.journal.push(if is_directory {
            Record::FlushDirectory(inode)
        } else {
            Record::FlushFile(inode)
        });
        Ok(())
    }

    pub(super) fn touch(&mut self, inode: Inode) -> Result<(), Errno> {
        let now = self.now();
        self.set_modified(inode, now)
    }

    pub(super) fn set_modified(&mut self, inode: Inode, time: SystemTime) -> Result<(), Errno> {
        self.node_mut(inode)?.modified = time;
        Ok(())
    }

    pub(super) fn set_mode(&mut self, inode: Inode, mode: u16) -> Result<(), Errno> {
        self.node_mut(inode)?.mode = mode;
        Ok(())
    }

    /// Where something is, from the root; where it last was when it has no name.
    pub(super) fn path(&self, inode: Inode) -> String {
        let (mut path, mut inode) = (String::new(), inode);
        while let Some(node) = self.nodes.get(&inode).filter(|_| inode != ROOT) {
            path = format!("/{}{path}", node.last_name.1);
            inode = node.last_name.0;
        }
        path
    }

    /// The time that the file server stamps files with.
    fn now(&self) -> SystemTime {
        let shift = Duration::from_secs(self.clock_ahead.unsigned_abs());
        let now = SystemTime::now();
        if self.clock_ahead < 0 { now - shift } else { now + shift }
    }

    fn node_mut(&mut self, inode: Inode) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&inode).ok_or(Errno::ESTALE)
    }

    fn bind(&mut self, bindings: Vec<Binding>) {
        for binding in &bindings {
            self.set_name(binding);
        }
        self.journal.push(Record::Names(bindings));
    }

    fn set_name(&mut self, Binding { directory, name, inode }: &Binding) {
        let now = self.now();
        if let Some(node) = self.nodes.get_mut(directory) {
            node.modified = now;
            if let Content::Directory(names) = &mut node.content {
                match inode {
                    Some(inode) => names.insert(name.clone(), *inode),
                    None => names.remove(name),
                };
            }
        }
        if let Some(node) = inode.and_then(|inode| self.nodes.get_mut(&inode)) {
            node.last_name = (*directory, name.clone());
        }
    }
}
