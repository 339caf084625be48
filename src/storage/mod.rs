//! Bytes and names on disk: digests and links, in the directory tree of registry:2.
//!
//! # The promise
//! What a method acknowledged with `Ok` is on stable storage. At every instant each visible `data` is complete
//! and has been hashed, each visible `link` is whole and names what is durable; a directory without its deciding
//! file (`link`, `startedat`) counts as absent. So a crash at any point leaves nothing to repair.
//!
//! # Several servers
//! Nothing in memory is needed: any number of processes, on any number of hosts, may work on one volume. What
//! must happen once is decided by a rename on the file server, never by a lock in a process.
//!
//! Every method blocks: call them off the async threads. The tree is drawn in `layout.rs`.

mod ages;
mod atomic_file;
mod blobs;
mod catalog;
mod damaged;
mod directories;
mod directory_names;
pub mod doctor;
mod error;
mod file_identity;
mod inspection;
mod journal;
mod layout;
mod leftovers;
mod links;
mod lookup;
mod manifests;
mod name_locks;
mod notes;
mod open;
mod referrers;
mod removal;
mod settled;
mod shared_secret;
mod space;
mod subjects;
mod summaries;
mod tags;
mod uploads;

pub use blobs::{BlobFile, StoredBlob};
pub use damaged::SetAsideFile;
pub use directory_names::Names;
pub use error::StorageError;
pub use file_identity::FileIdentity;
pub use inspection::{Leftover, LinkContent, Place};
pub use journal::JournalFile;
pub use open::{Config, OpenError};
pub use space::Space;
pub use subjects::Subjects;
pub use tags::{TagLink, TagWrite};
pub use uploads::{ClaimedUpload, UploadCommit};

use std::sync::atomic::AtomicU64;

use ages::LastLook;
use directory_names::DirectoryNames;
use layout::Layout;
use settled::Settled;

/// A volume. See the module for its promise.
#[derive(Debug)]
pub struct Storage {
    layout: Layout,
    config: Config,
    settled: Settled,
    names: DirectoryNames,
    last_look: LastLook,
    /// How often a manifest or blob was opened for reading.
    content_reads: AtomicU64,
}

#[cfg(test)]
mod tests;
