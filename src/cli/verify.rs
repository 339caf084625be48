//! `pakhuis verify`: is the volume whole, and what to do where it is not.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::audit;
use super::counted::{counted, counted_in};
use crate::{
    config::{Config, Flags},
    registry::{
        Registry,
        verification::{Finding, Options, Phase, Progress, Repairs, Report},
    },
    storage::Storage,
};

/// Exit code when something was found.
const FOUND: u8 = 3;

/// Width of the column of kinds.
const KIND: usize = 21;

/// Time between two lines of progress where they are not redrawn.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Time between two redrawings.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Check the volume while servers use it: tags, manifests, links, referrers, and with --read-data every byte
#[derive(Debug, Args)]
#[command(
    after_help = "Without --repair the volume stays as it is but for one small file in .pakhuis, made every ten minutes to read\nthe file server's clock and removed at once. --repair writes links and records of referrers again, makes missing\ndirectories, sets damaged blobs aside and puts back what is good after all; it removes tags that name nothing and\nrecords of referrers that are not there, and no content.\n\nExit code 0 when nothing was found, 3 with findings, 1 when not all could be checked.\n\nExamples:\n  pakhuis verify --config /etc/pakhuis/pakhuis.toml --read-data\n  pakhuis verify --storage /mnt/docker/registry --repair --format json"
)]
pub(super) struct Verify {
    /// Configuration file (environment: PAKHUIS_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the images (PAKHUIS_STORAGE) [default: pakhuis-data]
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
    /// Read every blob, and compare it with its digest
    #[arg(long)]
    read_data: bool,
    /// Mend what can be mended without a push: see below
    #[arg(long)]
    repair: bool,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Most bytes read a second, a look-up counting as 4096; 0 for no limit
    #[arg(long, value_name = "BYTES_PER_SECOND", default_value_t = 100_000_000)]
    rate: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: a row for each finding, what it means and what to do below it
    Table,
    /// For programs; also when the check fails: then `errors` says why
    Json,
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let format = self.format;
        let result = self.check();
        let out = &mut io::stdout().lock();
        match (&result, format) {
            (Ok(report), Format::Table) => write_table(out, report)?,
            (Ok(report), Format::Json) => write_json(out, report)?,
            (Err(_), Format::Table) => {}
            (Err(error), Format::Json) => {
                write_json(out, &Report { errors: vec![format!("{error:#}")], ..Report::default() })?;
            }
        }
        let report = result?;
        for error in &report.errors {
            writeln!(io::stderr(), "error: {error}")?;
        }
        Ok(ExitCode::from(match (report.errors.is_empty(), report.findings.is_empty()) {
            (false, _) => 1,
            (true, false) => FOUND,
            (true, true) => 0,
        }))
    }

    fn check(self) -> anyhow::Result<Report> {
        let flags = Flags { config: self.config, storage: self.storage, ..Flags::default() };
        let config = Config::load(&flags, &|name| std::env::var(name).ok())?;
        let audited = config.clone();
        let mut storage_config = config.storage;
        storage_config.remembered_roots = None;
        let mut storage = Storage::open_existing(storage_config.clone())?;
        if self.repair {
            // A tree of registry:2 lacks our directory, in which damaged blobs are set aside.
            storage = Storage::open(storage_config)?;
            audit::record(&audited, "verify --repair", &storage.directory().to_string_lossy());
        }
        writeln!(io::stderr(), "checking {}", storage.directory().display())?;
        let options = Options {
            read_data: self.read_data,
            repairs: if self.repair { Repairs::All } else { Repairs::None },
            rate: self.rate,
            sparse_manifests: config.registry.sparse_manifests,
            ..Options::default()
        };
        let mut meter = Meter::new();
        let report = Registry::new(storage, config.registry)
            .verify(&options, &mut |progress| meter.tell(progress, &mut io::stderr()));
        meter.end(&mut io::stderr());
        Ok(report?)
    }
}

/// Progress on stderr: one line that is redrawn on a terminal, a line now and then elsewhere.
struct Meter {
    redraws: bool,
    phase: Option<Phase>,
    phase_started: Instant,
    drawn: Instant,
}

impl Meter {
    fn new() -> Self {
        let now = Instant::now();
        Self { redraws: io::stderr().is_terminal(), phase: None, phase_started: now, drawn: now }
    }

    fn tell(&mut self, progress: &Progress, err: &mut dyn Write) -> bool {
        if self.phase != Some(progress.phase) {
            self.phase = Some(progress.phase);
            self.phase_started = Instant::now();
        }
        if self.drawn.elapsed() >= if self.redraws { DRAW_EVERY } else { LINE_EVERY } {
            self.drawn = Instant::now();
            let line = progress_line(progress, self.phase_started.elapsed());
            // Without a stderr there is nobody to tell.
            let _ = if self.redraws {
                write!(err, "\r\x1b[K{line}").and_then(|()| err.flush())
            } else {
                writeln!(err, "{line}")
            };
        }
        true
    }

    fn end(&self, err: &mut dyn Write) {
        if self.redraws {
            let _ = write!(err, "\r\x1b[K");
        }
    }
}

fn progress_line(progress: &Progress, elapsed: Duration) -> String {
    let Progress { phase, done, total, .. } = *progress;
    let share = if total == 0 { 1.0 } else { (done as f64 / total as f64).min(1.0) };
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let (what, rate) = match phase {
        Phase::Blobs => ("1 of 3, names of blobs", format!("{rate:.0} directories/s")),
        Phase::Content => ("2 of 3, bytes of blobs", format!("{:.1} MB/s", rate / 1e6)),
        Phase::Repositories => ("3 of 3, repositories", format!("{rate:.1} repositories/s")),
    };
    let left = if share > 0.0 {
        let seconds = elapsed.as_secs_f64() * (1.0 - share) / share;
        format!("{:.0}:{:02.0} left", (seconds / 60.0).floor(), (seconds % 60.0).floor())
    } else {
        "time left not known yet".to_owned()
    };
    format!("{what}: {:.1} %, {rate}, {left}", share * 100.0)
}

fn write_table(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let checked = &report.checked;
    if !report.findings.is_empty() {
        writeln!(out, "{:KIND$}  REPAIRED  PATH", "FINDING")?;
    }
    for finding in &report.findings {
        let repaired = if finding.repaired { "yes" } else { "no" };
        writeln!(out, "{:KIND$}  {repaired:8}  {}", finding.kind.as_str(), finding.path)?;
        writeln!(out, "    what: {}", finding.detail)?;
        writeln!(out, "    do:   {}", finding.advice)?;
    }
    let looked_at = [
        counted(checked.repositories, "repository"),
        counted(checked.tags, "tag"),
        counted(checked.manifests, "manifest"),
        counted(checked.layer_links, "layer link"),
        counted(checked.referrers, "referrer"),
        counted(checked.blobs, "blob"),
    ];
    let (bytes, aside) = (counted(checked.bytes, "byte"), checked.set_aside);
    writeln!(out, "checked {}; read {bytes}; {aside} set aside", looked_at.join(", "))?;
    let findings = counted(report.findings.len() as u64 + report.more_findings, "finding");
    let repaired = report.findings.iter().filter(|finding| finding.repaired).count();
    writeln!(out, "{findings}, {repaired} of them repaired; {}", counted_in(&report.errors, "error"))
}

#[derive(Serialize)]
struct JsonReport<'a> {
    checked: JsonChecked,
    findings: Vec<JsonFinding<'a>>,
    more_findings: u64,
    errors: &'a [String],
}

#[derive(Serialize)]
struct JsonChecked {
    repositories: u64,
    tags: u64,
    manifests: u64,
    layer_links: u64,
    referrers: u64,
    blobs: u64,
    bytes: u64,
    set_aside: u64,
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    kind: &'static str,
    repository: Option<&'a str>,
    digest: Option<&'a str>,
    path: &'a str,
    detail: &'a str,
    repaired: bool,
    advice: &'a str,
}

impl<'a> From<&'a Finding> for JsonFinding<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            kind: finding.kind.as_str(),
            repository: finding.repository.as_ref().map(|name| name.as_str()),
            digest: finding.digest.as_ref().map(|digest| digest.as_str()),
            path: &finding.path,
            detail: &finding.detail,
            repaired: finding.repaired,
            advice: &finding.advice,
        }
    }
}

fn write_json(out: &mut dyn Write, report: &Report) -> anyhow::Result<()> {
    let checked = report.checked;
    let json = JsonReport {
        checked: JsonChecked {
            repositories: checked.repositories,
            tags: checked.tags,
            manifests: checked.manifests,
            layer_links: checked.layer_links,
            referrers: checked.referrers,
            blobs: checked.blobs,
            bytes: checked.bytes,
            set_aside: checked.set_aside,
        },
        findings: report.findings.iter().map(JsonFinding::from).collect(),
        more_findings: report.more_findings,
        errors: &report.errors,
    };
    serde_json::to_writer_pretty(&mut *out, &json)?;
    writeln!(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_share_rate_and_time_left() {
        let progress =
            Progress { phase: Phase::Content, done: 250_000_000, total: 1_000_000_000, bytes: 250_000_000 };
        let line = progress_line(&progress, Duration::from_secs(25));
        assert_eq!(line, "2 of 3, bytes of blobs: 25.0 %, 10.0 MB/s, 1:15 left");
        let nothing = Progress { phase: Phase::Blobs, done: 0, total: 5, bytes: 0 };
        assert!(progress_line(&nothing, Duration::ZERO).ends_with("time left not known yet"));
    }
}
