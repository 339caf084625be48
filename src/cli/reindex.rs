//! `pakhuis reindex`: makes the summaries of all manifests anew.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use super::{audit, counted::counted};
use crate::{
    config::{Config, Flags},
    registry::Registry,
    storage::Storage,
};

/// Make the summaries that the pages show anew, from the manifests
///
/// A summary is made by itself when a page first wants it, and never out of date. This throws all away and makes them
/// at once: after the summaries were lost or copied from elsewhere, or so that no page has to wait. Servers may go on.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 0 done, 1 failed, 2 wrong usage, 3 when a manifest could not be read.\n\n\
Examples:\n  pakhuis reindex --config /etc/pakhuis/pakhuis.toml\n  pakhuis reindex --storage /mnt/docker/registry")]
pub(super) struct Reindex {
    /// Configuration file (environment: PAKHUIS_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the images (PAKHUIS_STORAGE)
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
}

/// Exit code when it ran and something needs a look.
const PROBLEMS: u8 = 3;

impl Reindex {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let flags = Flags { config: self.config, storage: self.storage, ..Flags::default() };
        let config = Config::load(&flags, &|name| std::env::var(name).ok())?;
        let storage = Storage::open_existing(config.storage.clone())?;
        audit::record(&config, "reindex", &storage.directory().to_string_lossy());
        let registry = Registry::new(storage, config.registry);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let done = runtime.block_on(registry.remake_summaries())?;
        let (made, wrong) = (counted(done.made, "summary"), counted(done.unreadable, "manifest"));
        writeln!(io::stdout(), "{made} made in {}", counted(done.repositories, "repository"))?;
        if done.unreadable > 0 {
            writeln!(io::stderr(), "{wrong} could not be read; `pakhuis verify` says more")?;
        }
        Ok(ExitCode::from(if done.unreadable == 0 { 0 } else { PROBLEMS }))
    }
}
