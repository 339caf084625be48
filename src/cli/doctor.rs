//! `pakhuis doctor`: tries the volume as the server uses it, and says what breaks and what to type.

use std::{
    io::Write,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

use super::counted::counted;
use crate::{
    config::{Config, Flags},
    storage::{
        self,
        doctor::{Finding, Question, Report, Request, Severity, Trial, examine, unanswered},
    },
};

/// Exit code when there is an error or a warning.
const FOUND: u8 = 3;

/// How long the other host is waited for.
const MEETING_WAIT: Duration = Duration::from_secs(60);

/// A trial that takes longer is told: a volume that hangs says nothing by itself.
const SILENCE: Duration = Duration::from_secs(10);

/// Silence after which the volume counts as hung, when it does not even say how much room it has. A trial may well
/// take longer on a volume that answers.
const HUNG_AFTER: Duration = Duration::from_secs(40);

/// Try the volume as the server uses it, and say what breaks and what to type
#[derive(Debug, Args)]
#[command(
    after_help = "Works in a directory of its own and removes it; images are not touched. Run it as the account of the\nserver. Exit code 0 when all is well, 3 with errors or warnings, 1 when it failed.\n\nExamples:\n  pakhuis doctor --config /etc/pakhuis/pakhuis.toml\n  pakhuis doctor --meet --storage /mnt/docker/registry"
)]
pub(super) struct Doctor {
    /// Configuration file (environment: PAKHUIS_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the images (PAKHUIS_STORAGE) [default: pakhuis-data]
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Wait up to 60 s for a doctor on a second host, then measure how fast each sees what the other does
    #[arg(long)]
    meet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

impl Doctor {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let flags = Flags { config: self.config, storage: self.storage, ..Flags::default() };
        let config = Config::load(&flags, &|name| std::env::var(name).ok())?;
        let meet = self.meet.then_some(MEETING_WAIT);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let report = runtime.block_on(watched(config.storage, meet))?;
        let mut out = std::io::stdout().lock();
        match self.format {
            Format::Table => write_table(&mut out, &report)?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut out, &report)?;
                writeln!(out)?;
            }
        }
        let found = report.worst().is_some_and(|worst| worst > Severity::Note);
        Ok(ExitCode::from(if found { FOUND } else { 0 }))
    }
}

/// Examines on a thread of its own, so that a volume that hangs is told and the command can be stopped.
async fn watched(config: storage::Config, meet: Option<Duration>) -> anyhow::Result<Report> {
    let (say, mut hear) = unbounded_channel();
    let stop = Arc::new(AtomicBool::new(false));
    let (told, examined) = (stop.clone(), config.clone());
    let examination = std::thread::Builder::new().name("doctor".to_owned()).spawn(move || {
        let progress = |text: &str| {
            // Nobody listens when the command was stopped twice.
            let _ = say.send(text.to_owned());
        };
        examine(&Request { config: &examined, meet, progress: &progress, stop: &told })
    })?;
    if let Some((doing, silent)) = listen(&mut hear, &stop, &config).await? {
        return Ok(unanswered(&config, &doing, silent));
    }
    let report = examination.join().ok().context("the examination broke off")?;
    if stop.load(Ordering::Relaxed) {
        bail!("stopped; what was made on the volume is removed");
    }
    Ok(report)
}

/// Tells the progress until there is no more, or the volume hangs: then what was being done, and for how long. A first
/// signal asks for the end, a second ends at once.
async fn listen(
    hear: &mut UnboundedReceiver<String>,
    stop: &AtomicBool,
    config: &storage::Config,
) -> anyhow::Result<Option<(String, Duration)>> {
    let mut err = std::io::stderr();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (mut last, mut silent) = (String::from("starting"), Duration::ZERO);
    let mut question: Option<Question> = None;
    loop {
        tokio::select! {
            heard = timeout(SILENCE, hear.recv()) => match heard {
                Ok(None) => return Ok(None),
                Ok(Some(text)) => {
                    writeln!(err, "{text}")?;
                    (last, silent, question) = (text, Duration::ZERO, None);
                }
                Err(_) => {
                    silent += SILENCE;
                    if !last.starts_with("met ") {
                        writeln!(err, "no answer from the volume for {} s ({last})", silent.as_secs())?;
                        match question.take().filter(|question| !question.is_answered()) {
                            Some(_) if silent >= HUNG_AFTER => return Ok(Some((last, silent))),
                            Some(asked) => question = Some(asked),
                            None => question = Some(Question::ask(config)?),
                        }
                    }
                }
            },
            _ = interrupt.recv() => asked_to_stop(stop)?,
            _ = terminate.recv() => asked_to_stop(stop)?,
        }
    }
}

fn asked_to_stop(stop: &AtomicBool) -> anyhow::Result<()> {
    if stop.swap(true, Ordering::Relaxed) {
        bail!("ended at once; a directory of the doctor may be left on the volume, the next run removes it");
    }
    writeln!(std::io::stderr(), "stopping after this trial; again to end at once")?;
    Ok(())
}

fn write_table(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    writeln!(out, "VOLUME  {}\n", report.root.display())?;
    let width = |text: fn(&Trial) -> usize| report.trials.iter().map(text).max().unwrap_or(0);
    let (names, results) = (width(|trial| trial.name.len()), width(|trial| result(trial).len()).max(6));
    writeln!(out, "{:names$}  {:results$}  SEEN", "TRIAL", "RESULT")?;
    for trial in &report.trials {
        writeln!(out, "{:names$}  {:results$}  {}", trial.name, result(trial), trial.seen)?;
    }
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        for (trial, finding) in report.findings().filter(|(_, finding)| finding.severity == severity) {
            write_finding(out, trial, finding)?;
        }
    }
    let count = |severity| report.findings().filter(|(_, finding)| finding.severity == severity).count();
    let counted = |severity| counted(count(severity) as u64, word(severity));
    let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note].map(counted);
    writeln!(out, "\n{errors}, {warnings}, {notes}")
}

fn write_finding(out: &mut impl Write, trial: &str, finding: &Finding) -> std::io::Result<()> {
    writeln!(out, "\n{}: {trial}: {}", word(finding.severity), finding.problem)?;
    writeln!(out, "  breaks  {}", finding.breaks)?;
    writeln!(out, "  type    {}", finding.advice)
}

fn result(trial: &Trial) -> &'static str {
    match trial.worst() {
        Some(severity) => word(severity),
        None if trial.tried => "ok",
        None => "not tried",
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
