//! What can be wrong with a configuration: each message says where, and what to write instead.

use std::{io, path::PathBuf};

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML, or has a key or a value that is not understood.
    #[error("{}:{line}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// A value cannot be used.
    #[error("{place}: {message}")]
    Value {
        /// The flag, the environment variable, or the file and key.
        place: String,
        /// What is wrong and what to write instead.
        message: String,
    },
}
