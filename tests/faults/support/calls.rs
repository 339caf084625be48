//! Which system calls can touch a volume, and what each of them touches.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use nix::libc::user_regs_struct;

/// What a call names: a path, a path below an open directory, or an open file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Path,
    PathBelow,
    File,
}

/// A system call of x86-64, the errors that it can give, and whether it needs space, a writable volume or neither.
pub(crate) struct CallKind {
    number: u64,
    pub(crate) name: &'static str,
    names: Names,
    errors: &'static [&'static str],
}

const READ: &[&str] = &["EIO", "EACCES", "ESTALE", "EINTR", "ENOENT"];
const LOOK: &[&str] = &["EIO", "EACCES", "ESTALE", "ENOENT"];
const LOOK_AT_OPEN: &[&str] = &["EIO", "ESTALE"];
/// The same for a name in an open directory: a wrong absence is what a client remembers of a path. Who opens the
/// directory makes it ask, so that there an absence is the answer of the file server (`tests/nfs`, visibility).
const READ_BELOW: &[&str] = &["EIO", "EACCES", "ESTALE", "EINTR"];
const LOOK_BELOW: &[&str] = &["EIO", "EACCES", "ESTALE"];
const LIST: &[&str] = &["EIO", "ESTALE"];
const TRANSFER_IN: &[&str] = &["EIO", "EACCES", "ESTALE", "EINTR"];
/// A file server looks at rights with each block, so that even an open file can be refused.
const TRANSFER_OUT: &[&str] = &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "ESTALE", "EINTR"];
const MAKE: &[&str] = &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "ESTALE"];
const REMOVE: &[&str] = &["EIO", "EROFS", "EACCES", "ESTALE"];
const TOUCH: &[&str] = &["EIO", "EROFS", "EACCES", "ESTALE"];
const CLOSE: &[&str] = &["EIO", "ENOSPC", "EDQUOT", "EINTR"];

/// Opening with `O_CREAT`: what reading and making can give.
const CREATE: &[&str] = &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "ESTALE", "EINTR"];

const O_CREAT: u64 = 0o100;

macro_rules! calls {
    ($($number:literal $name:literal $names:ident $errors:ident)*) => {
        &[$(CallKind { number: $number, name: $name, names: Names::$names, errors: $errors }),*]
    };
}

/// Every call that takes a path or an open file of the volume; a call that the server begins to make and that is
/// not here is found by the comparison with strace.
const CALLS: &[CallKind] = calls! {
    0 "read" File TRANSFER_IN
    1 "write" File TRANSFER_OUT
    2 "open" Path READ
    3 "close" File CLOSE
    4 "stat" Path LOOK
    5 "fstat" File LOOK_AT_OPEN
    6 "lstat" Path LOOK
    17 "pread64" File TRANSFER_IN
    18 "pwrite64" File TRANSFER_OUT
    19 "readv" File TRANSFER_IN
    20 "writev" File TRANSFER_OUT
    21 "access" Path LOOK
    40 "sendfile" File TRANSFER_IN
    74 "fsync" File TRANSFER_OUT
    75 "fdatasync" File TRANSFER_OUT
    77 "ftruncate" File TRANSFER_OUT
    82 "rename" Path MAKE
    83 "mkdir" Path MAKE
    84 "rmdir" Path REMOVE
    86 "link" Path MAKE
    87 "unlink" Path REMOVE
    91 "fchmod" File TOUCH
    137 "statfs" Path LOOK_AT_OPEN
    138 "fstatfs" File LOOK_AT_OPEN
    217 "getdents64" File LIST
    257 "openat" PathBelow READ
    258 "mkdirat" PathBelow MAKE
    262 "newfstatat" PathBelow LOOK
    263 "unlinkat" PathBelow REMOVE
    264 "renameat" PathBelow MAKE
    265 "linkat" PathBelow MAKE
    269 "faccessat" PathBelow LOOK
    280 "utimensat" PathBelow TOUCH
    285 "fallocate" File TRANSFER_OUT
    295 "preadv" File TRANSFER_IN
    296 "pwritev" File TRANSFER_OUT
    316 "renameat2" PathBelow MAKE
    326 "copy_file_range" File TRANSFER_IN
    332 "statx" PathBelow LOOK
};

/// The names of all of them, as strace wants them.
pub(crate) fn names() -> String {
    CALLS.iter().map(|call| call.name).collect::<Vec<_>>().join(",")
}

/// A call as a thread is about to make it.
pub(crate) struct Entered {
    pub(crate) kind: &'static CallKind,
    pub(crate) path: PathBuf,
    /// The errors that it can give.
    pub(crate) errors: &'static [&'static str],
}

/// Where a traced process can be looked into.
pub(crate) struct Process {
    pid: i32,
    memory: File,
}

impl Process {
    pub(crate) fn open(pid: i32) -> Self {
        let memory = File::open(format!("/proc/{pid}/mem")).expect("the memory of a process that we trace");
        Self { pid, memory }
    }

    /// The call that these registers make, if it can touch a volume.
    pub(crate) fn call(&self, registers: &user_regs_struct) -> Option<Entered> {
        let kind = CALLS.iter().find(|kind| kind.number == registers.orig_rax)?;
        let (path, of) = match kind.names {
            Names::File => (self.open_file(registers.rdi)?, Names::File),
            Names::Path => (self.text(registers.rdi)?, Names::Path),
            Names::PathBelow => {
                let below = if registers.rsi == 0 { PathBuf::new() } else { self.text(registers.rsi)? };
                if below.is_absolute() {
                    (below, Names::Path)
                } else if below.as_os_str().is_empty() {
                    (self.open_file(registers.rdi)?, Names::File)
                } else {
                    (self.open_file(registers.rdi)?.join(below), Names::PathBelow)
                }
            }
        };
        let errors = match kind.name {
            "openat" if registers.rdx & O_CREAT != 0 => CREATE,
            "openat" if of == Names::PathBelow => READ_BELOW,
            "newfstatat" | "statx" | "faccessat" if of == Names::PathBelow => LOOK_BELOW,
            "newfstatat" | "statx" if of == Names::File => LOOK_AT_OPEN,
            // No file system is asked when a directory is closed, so there is nothing that could fail.
            "close" if path.is_dir() => &[],
            _ => kind.errors,
        };
        Some(Entered { kind, path, errors })
    }

    fn open_file(&self, number: u64) -> Option<PathBuf> {
        let path = fs::read_link(format!("/proc/{}/fd/{}", self.pid, number as i32)).ok()?;
        // What the kernel adds to the name of a file that has none any more.
        let text = path.to_str()?;
        Some(text.strip_suffix(" (deleted)").map(PathBuf::from).unwrap_or_else(|| path.clone()))
    }

    fn text(&self, address: u64) -> Option<PathBuf> {
        let mut bytes = vec![0; 4096];
        let count = self.memory.read_at(&mut bytes, address).ok()?;
        let end = bytes[..count].iter().position(|byte| *byte == 0)?;
        bytes.truncate(end);
        String::from_utf8(bytes).ok().map(PathBuf::from)
    }
}

/// The number of an error, by its name.
pub(crate) fn errno(name: &str) -> i64 {
    use nix::libc as c;
    i64::from(match name {
        "EIO" => c::EIO,
        "ENOSPC" => c::ENOSPC,
        "EDQUOT" => c::EDQUOT,
        "EROFS" => c::EROFS,
        "EACCES" => c::EACCES,
        "ESTALE" => c::ESTALE,
        "EINTR" => c::EINTR,
        "ENOENT" => c::ENOENT,
        "EEXIST" => c::EEXIST,
        _ => panic!("{name} is no error that is injected"),
    })
}

/// Whether a path is on the volume.
pub(crate) fn is_below(path: &Path, volume: &Path) -> bool {
    path.starts_with(volume)
}
