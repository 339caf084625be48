//! Mount tables as kernels write them, judged; and the trials on a real directory.
#![allow(clippy::disallowed_methods, reason = "the tests damage the tree on purpose")]

mod mounts;
mod volume;
