//! The store as a FUSE file system: one mount, that is one client of it.
//!
//! Nothing is cached by the kernel: each lookup and each read comes here, so that two mounts see each other at once
//! unless [`Gate::cache_names`] says otherwise.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use rustix::fs::OFlags;

use super::{
    faults::{Gate, Operation},
    journal::Inode,
    live::{Content, Live},
};

/// How many calls may wait at once before the kernel queues them.
const THREADS: usize = 16;

/// What is said to be free, in blocks of [`BLOCK`] bytes and in files: more than any test fills.
const FREE: u64 = 1 << 28;
const BLOCK: u32 = 4096;

/// The kernel asks again each time.
const UNCACHED: Duration = Duration::ZERO;

pub(super) fn mount(
    live: Arc<Mutex<Live>>,
    gate: Arc<Gate>,
    directory: &Path,
) -> io::Result<BackgroundSession> {
    let client = Client { live, gate, listings: Mutex::default(), next_listing: AtomicU64::new(1) };
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("strict".into()), MountOption::NoAtime];
    config.n_threads = Some(THREADS);
    fuser::spawn_mount(client, directory, &config)
}

struct Client {
    live: Arc<Mutex<Live>>,
    gate: Arc<Gate>,
    /// What open directories listed when they were first read.
    listings: Mutex<HashMap<u64, Vec<Listed>>>,
    next_listing: AtomicU64,
}

struct Listed {
    inode: Inode,
    kind: FileType,
    name: String,
}

impl Client {
    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to a file or directory, unless the gate says otherwise.
    fn on_node<T>(
        &self,
        operation: Operation,
        inode: INodeNo,
        act: impl FnOnce(&mut Live) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let path = if self.gate.wants_path() { self.lock().path(inode.0) } else { String::new() };
        let afterwards = self.gate.pass(operation, &path)?;
        let done = act(&mut self.lock());
        afterwards.map_or(done, Err)
    }

    /// Does something to a name, unless the gate says otherwise. `act` says what the name means afterwards.
    fn on_name<T>(
        &self,
        operation: Operation,
        (directory, name): (INodeNo, &OsStr),
        act: impl FnOnce(&mut Live, &str) -> Result<(T, Option<Inode>), Errno>,
    ) -> Result<T, Errno> {
        let name = name.to_str().ok_or(Errno::EINVAL)?;
        let mut path = String::new();
        if self.gate.wants_path() {
            path = format!("{}/{name}", self.lock().path(directory.0));
        }
        let afterwards = self.gate.pass(operation, &path)?;
        let (done, inode) = act(&mut self.lock(), name)?;
        self.gate.saw(directory.0, name, inode);
        afterwards.map_or(Ok(done), Err)
    }

    fn look_up(&self, directory: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let believed = name.to_str().and_then(|name| self.gate.cached(directory.0, name));
        self.on_name(Operation::Lookup, (directory, name), |live, name| {
            let inode = match believed {
                Some(None) => return Err(Errno::ENOENT),
                Some(Some(inode)) if live.node(inode)?.links > 0 => Some(inode),
                _ => live.find(directory.0, name)?,
            };
            if believed.is_none_or(|believed| believed != inode) {
                self.gate.saw(directory.0, name, inode);
            }
            let inode = inode.ok_or(Errno::ENOENT)?;
            Ok((attributes(live, inode)?, Some(inode)))
        })
    }

    fn create_node(&self, at: (INodeNo, &OsStr), is_directory: bool, mode: u32) -> Result<FileAttr, Errno> {
        let operation = if is_directory { Operation::MakeDirectory } else { Operation::Create };
        self.on_name(operation, at, |live, name| {
            let mode = u16::try_from(mode & 0o7777).unwrap_or(0);
            let inode = live.create(at.0.0, name, is_directory, mode)?;
            Ok((attributes(live, inode)?, Some(inode)))
        })
    }

    fn remove(&self, at: (INodeNo, &OsStr), is_directory: bool) -> Result<(), Errno> {
        let operation = if is_directory { Operation::RemoveDirectory } else { Operation::Remove };
        self.on_name(operation, at, |live, name| {
            live.remove(at.0.0, name, is_directory)?;
            Ok(((), None))
        })
    }

    fn list(&self, directory: Inode) -> Result<Vec<Listed>, Errno> {
        let live = self.lock();
        let listed = live.names(directory)?.iter().map(|(name, &inode)| {
            let kind = kind(live.node(inode)?.is_directory());
            Ok(Listed { inode, kind, name: name.clone() })
        });
        let dots = [".", ".."]
            .map(|name| Ok(Listed { inode: directory, kind: FileType::Directory, name: name.into() }));
        dots.into_iter().chain(listed).collect()
    }

    fn set_attributes(
        &self,
        inode: INodeNo,
        mode: Option<u32>,
        size: Option<u64>,
        modified: Option<TimeOrNow>,
    ) -> Result<FileAttr, Errno> {
        let operation = if size.is_some() { Operation::Truncate } else { Operation::SetAttributes };
        self.on_node(operation, inode, |live| {
            if let Some(size) = size {
                live.truncate(inode.0, size)?;
            }
            if let Some(mode) = mode {
                live.set_mode(inode.0, u16::try_from(mode & 0o7777).unwrap_or(0))?;
            }
            match modified {
                Some(TimeOrNow::Now) => live.touch(inode.0)?,
                Some(TimeOrNow::SpecificTime(time)) => live.set_modified(inode.0, time)?,
                None => {}
            }
            attributes(live, inode.0)
        })
    }
}

fn kind(is_directory: bool) -> FileType {
    if is_directory { FileType::Directory } else { FileType::RegularFile }
}

fn attributes(live: &Live, inode: Inode) -> Result<FileAttr, Errno> {
    let node = live.node(inode)?;
    let size = match &node.content {
        Content::File(bytes) => bytes.len() as u64,
        Content::Directory(_) => u64::from(BLOCK),
    };
    let owner = rustix::process::geteuid().as_raw();
    Ok(FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: size.div_ceil(512),
        atime: node.modified,
        mtime: node.modified,
        ctime: node.modified,
        crtime: node.modified,
        kind: kind(node.is_directory()),
        perm: node.mode,
        nlink: node.links,
        uid: owner,
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn answer_empty(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn answer_entry(reply: ReplyEntry, done: Result<FileAttr, Errno>) {
    match done {
        Ok(attributes) => reply.entry(&UNCACHED, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn answer_attributes(reply: ReplyAttr, done: Result<FileAttr, Errno>) {
    match done {
        Ok(attributes) => reply.attr(&UNCACHED, &attributes),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Client {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(reply, self.look_up(parent, name));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.on_node(Operation::Attributes, inode, |live| attributes(live, inode.0));
        answer_attributes(reply, found);
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        answer_attributes(reply, self.set_attributes(inode, mode, size, mtime));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        answer_entry(reply, self.create_node((parent, name), true, mode & !umask));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(reply, self.remove((parent, name), false));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(reply, self.remove((parent, name), true));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = self.on_name(Operation::Rename, (new_parent, new_name), |live, new_name| {
            let name = name.to_str().ok_or(Errno::EINVAL)?;
            // As on NFS, which knows no flags.
            if !flags.is_empty() {
                return Err(Errno::EINVAL);
            }
            live.rename((parent.0, name), (new_parent.0, new_name))?;
            self.gate.saw(parent.0, name, None);
            Ok(((), live.find(new_parent.0, new_name)?))
        });
        answer_empty(reply, done);
    }

    fn link(&self, _: &Request, inode: INodeNo, new_parent: INodeNo, new_name: &OsStr, reply: ReplyEntry) {
        let done = self.on_name(Operation::Link, (new_parent, new_name), |live, name| {
            live.link(inode.0, new_parent.0, name)?;
            Ok((attributes(live, inode.0)?, Some(inode.0)))
        });
        answer_entry(reply, done);
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.on_node(Operation::Open, inode, |live| live.node(inode.0).map(drop)) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let exclusive = flags & OFlags::EXCL.bits().cast_signed() != 0;
        let created = match self.create_node((parent, name), false, mode & !umask) {
            // Another client made it since this one looked.
            Err(error) if error == Errno::EEXIST && !exclusive => self.look_up(parent, name),
            created => created,
        };
        match created {
            Ok(attributes) => reply.created(
                &UNCACHED,
                &attributes,
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.on_node(Operation::Read, inode, |live| {
            live.read(inode.0, offset, size as usize).map(<[u8]>::to_vec)
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.on_node(Operation::Write, inode, |live| live.write(inode.0, offset, data)) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, inode: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        answer_empty(reply, self.on_node(Operation::Close, inode, |_| Ok(())));
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer_empty(reply, self.on_node(Operation::Flush, inode, |live| live.flush(inode.0)));
    }

    fn opendir(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.on_node(Operation::OpenDirectory, inode, |live| live.node(inode.0).map(drop)) {
            Ok(()) => {
                self.gate.opened(inode.0);
                let handle = self.next_listing.fetch_add(1, Ordering::Relaxed);
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if let Err(error) = self.on_node(Operation::List, inode, |_| Ok(())) {
            return reply.error(error);
        }
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 {
            match self.list(inode.0) {
                Ok(listing) => listings.insert(handle.0, listing),
                Err(error) => return reply.error(error),
            };
        }
        let listing = listings.get(&handle.0).map_or(&[][..], Vec::as_slice);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (number, entry) in listing.iter().enumerate().skip(start) {
            if reply.add(INodeNo(entry.inode), number as u64 + 1, entry.kind, &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).remove(&handle.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer_empty(reply, self.on_node(Operation::FlushDirectory, inode, |live| live.flush(inode.0)));
    }

    fn statfs(&self, _: &Request, inode: INodeNo, reply: ReplyStatfs) {
        match self.on_node(Operation::Space, inode, |_| Ok(())) {
            Ok(()) => reply.statfs(FREE, FREE, FREE, FREE, FREE, BLOCK, 255, BLOCK),
            Err(error) => reply.error(error),
        }
    }
}
