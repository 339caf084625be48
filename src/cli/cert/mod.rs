//! `pakhuis cert`: make, show and check the server's certificate and the private authority behind it.

mod check;
mod generate;
mod show;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use time::OffsetDateTime;
use time::macros::format_description;

pub(super) use check::Check;
pub(super) use generate::Generate;
pub(super) use show::Show;

/// Make, show and check the TLS certificate and the private CA behind it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pakhuis cert generate --name registry.example.org --name 192.0.2.7
  pakhuis cert check --within 30d || echo 'renew the certificate'")]
pub(super) struct Cert {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Generate(Generate),
    Show(Show),
    Check(Check),
}

impl Cert {
    /// Runs the subcommand; results go to standard output, everything else to standard error.
    ///
    /// # Errors
    /// When a file cannot be read, written or understood.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (out, err) = (&mut io::stdout().lock(), &mut io::stderr().lock());
        match self.action {
            Action::Generate(generate) => generate.run(out, err),
            Action::Show(show) => show.run(out),
            Action::Check(check) => check.run(out, OffsetDateTime::now_utc()),
        }
    }
}

const PROBLEMS_FOUND: u8 = 3;

/// Where the certificate to look at is.
#[derive(Debug, Args)]
struct Place {
    /// Directory with ca.crt, server.crt and server.key
    #[arg(long, value_name = "DIR", default_value = "./certs", conflicts_with = "certificate")]
    directory: PathBuf,
    /// One certificate file instead of a directory
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

/// Writes one line, and turns a closed pipe into an ordinary error.
fn line(out: &mut dyn Write, text: &str) -> anyhow::Result<()> {
    Ok(writeln!(out, "{text}")?)
}

/// `2026-11-24 02:16 UTC`
fn date(moment: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    moment.to_offset(time::UtcOffset::UTC).format(&format).unwrap_or_else(|_| moment.to_string())
}

/// Parses `30d`, `12h`, `90m`, `45s` or `2w`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a whole number and a unit: 30d, 12h, 90m, 45s or 2w".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let count: u32 = text.strip_suffix(unit).unwrap_or(text).parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(seconds * u64::from(count)))
}

#[cfg(test)]
mod tests;
