//! What happened to the store, in order.

use std::sync::Arc;

/// Number of a file or directory; never used again.
pub(crate) type Inode = u64;

/// The directory that is mounted.
pub(crate) const ROOT: Inode = 1;

/// One change or flush.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// A file or directory that has no name yet; [`Record::Names`] follows.
    New { inode: Inode, is_directory: bool },
    /// Bytes written.
    Write { file: Inode, offset: usize, bytes: Arc<[u8]> },
    /// The length set.
    Truncate { file: Inode, length: usize },
    /// Names that change together or not at all.
    Names(Vec<Binding>),
    /// The old name of what the record before this one gave a name in another directory.
    Departure(Binding),
    /// fsync or fdatasync of a file, which succeeded.
    FlushFile(Inode),
    /// fsync of a directory, which succeeded.
    FlushDirectory(Inode),
}

/// What a name in a directory means from now on; nothing when it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) directory: Inode,
    pub(crate) name: String,
    pub(crate) inode: Option<Inode>,
}
