//! `pakhuis export-referrers`: signatures and attestations as tags, before a volume goes back to registry:2.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use super::{audit, counted::counted};
use crate::{
    config::{Config, Flags},
    oci::RepositoryName,
    registry::{ExportOutcome, ExportedTag, Page, Registry},
    storage::Storage,
};

/// List what refers to an image in a tag, where clients of registry:2 look for it
///
/// registry:2 has no referrers API; its clients look for a tag sha256-<hex> that lists the signatures and
/// attestations of an image. Run it before the volume goes back to registry:2. Doing it again changes nothing,
/// and Pakhuis serves the same with and without these tags.
#[derive(Debug, Args)]
#[command(after_help = "Prints one line a tag: what was done, repository and tag, number of referrers.\n\
Exit code 0 done, 1 failed, 2 wrong usage, 3 when a tag could not be written.\n\n\
Examples:\n  pakhuis export-referrers --config /etc/pakhuis/pakhuis.toml --dry-run\n  pakhuis export-referrers --storage /mnt/docker/registry")]
pub(super) struct ExportReferrers {
    /// Configuration file (environment: PAKHUIS_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the images (PAKHUIS_STORAGE)
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Repositories asked for at once.
const PAGE: usize = 1000;

/// Exit code when it ran and something needs a look.
const PROBLEMS: u8 = 3;

#[derive(Default)]
struct Totals {
    written: usize,
    unchanged: usize,
    problems: usize,
}

impl ExportReferrers {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let flags = Flags { config: self.config, storage: self.storage, ..Flags::default() };
        let config = Config::load(&flags, &|name| std::env::var(name).ok())?;
        let storage = Storage::open_existing(config.storage.clone())?;
        if !self.dry_run {
            audit::record(&config, "export-referrers", &storage.directory().to_string_lossy());
        }
        let registry = Registry::new(storage, config.registry);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let totals = runtime.block_on(export_all(&registry, self.dry_run, &mut io::stdout()))?;
        let written = if self.dry_run { "would be written" } else { "written" };
        let Totals { written: count, unchanged, problems } = totals;
        let (tags, wrong) = (counted(count as u64, "tag"), counted(problems as u64, "problem"));
        writeln!(io::stderr(), "{tags} {written}, {unchanged} unchanged, {wrong}")?;
        Ok(ExitCode::from(if problems == 0 { 0 } else { PROBLEMS }))
    }
}

async fn export_all(registry: &Registry, dry_run: bool, out: &mut impl Write) -> anyhow::Result<Totals> {
    let mut totals = Totals::default();
    let mut last: Option<RepositoryName> = None;
    loop {
        let Page { items, more } =
            registry.repositories(last.as_ref().map(RepositoryName::as_str), PAGE).await?;
        for repository in &items {
            for exported in registry.export_referrers(repository, dry_run).await? {
                tell(out, repository, &exported, dry_run)?;
                match exported.outcome {
                    ExportOutcome::Written => totals.written += 1,
                    ExportOutcome::Unchanged => totals.unchanged += 1,
                    ExportOutcome::InTheWay | ExportOutcome::TooLarge => totals.problems += 1,
                }
            }
        }
        last = items.last().cloned().filter(|_| more);
        if last.is_none() {
            return Ok(totals);
        }
    }
}

fn tell(
    out: &mut impl Write,
    repository: &RepositoryName,
    exported: &ExportedTag,
    dry_run: bool,
) -> io::Result<()> {
    let done = match exported.outcome {
        ExportOutcome::Written if dry_run => "would write",
        ExportOutcome::Written => "written",
        ExportOutcome::Unchanged => "unchanged",
        ExportOutcome::InTheWay => "left alone, the tag names something else:",
        ExportOutcome::TooLarge => "not written, the list is too large:",
    };
    writeln!(out, "{done} {repository}:{} {}", exported.tag, exported.referrers)
}
