//! `pakhuis cert`: make, show and check certificates.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::tls::{self, CertificateFacts, CertificateFiles};

/// Makes, shows and checks the registry's certificates
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pakhuis cert generate --name docker-registry.dccn.nl\n  pakhuis cert check --within 30d")]
pub(super) struct Cert {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Generate(Generate),
    Show(Show),
    Check(Check),
}

/// Makes a server certificate, and the CA that signs it if there is none
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pakhuis cert generate --name docker-registry.dccn.nl --name 10.0.0.5\n  pakhuis cert generate --directory /etc/pakhuis/certs --name registry.example.org --days 90"
)]
struct Generate {
    /// Where ca.crt, ca.key, server.crt and server.key are, or shall be
    #[arg(long, default_value = "certs")]
    directory: PathBuf,
    /// A host name or address that clients use; may be given several times [default: this host's name, localhost, 127.0.0.1, ::1]
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Days the server certificate is valid, at most 825
    #[arg(long, default_value_t = 397, value_parser = clap::value_parser!(u32).range(1..=825))]
    days: u32,
    /// Make a new CA too; every host must be given the new ca.crt then
    #[arg(long)]
    renew_ca: bool,
    /// Port that clients use, for the instructions
    #[arg(long, default_value_t = 5000)]
    port: u16,
}

/// Shows what a certificate says
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pakhuis cert show\n  pakhuis cert show --ca > /etc/docker/certs.d/docker-registry.dccn.nl:5000/ca.crt"
)]
struct Show {
    /// Where the certificates are
    #[arg(long, default_value = "certs")]
    directory: PathBuf,
    /// A certificate elsewhere
    #[arg(long, conflicts_with_all = ["directory", "ca"])]
    certificate: Option<PathBuf>,
    /// Print the CA certificate itself, for the hosts
    #[arg(long)]
    ca: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "ca")]
    json: bool,
}

/// Checks a certificate: exit code 0 when it is fine, 3 when it is not, 1 when it cannot be read
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pakhuis cert check --within 30d || mail -s 'renew the registry certificate' admin@example.org\n  pakhuis cert check --directory /etc/pakhuis/certs --name docker-registry.dccn.nl"
)]
struct Check {
    /// Where the certificates are
    #[arg(long, default_value = "certs")]
    directory: PathBuf,
    /// A certificate elsewhere
    #[arg(long, conflicts_with = "directory", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// Complain when it expires within this time, such as 30d or 12h
    #[arg(long, default_value = "0d", value_parser = parse_time_span)]
    within: Duration,
    /// Complain when it is not valid for this host name or address
    #[arg(long)]
    name: Option<String>,
}

impl Cert {
    /// Runs the subcommand.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Generate(command) => command.run(),
            Command::Show(command) => command.run(),
            Command::Check(command) => command.run(),
        }
    }
}

impl Generate {
    fn run(self) -> anyhow::Result<ExitCode> {
        let names = if self.names.is_empty() { default_names() } else { self.names };
        let issued = tls::issue(&self.directory, &names, self.days, self.renew_ca)?;
        let files = &issued.files;
        let mut out = std::io::stdout();
        for path in [&files.ca_certificate, &files.ca_key, &files.certificate, &files.private_key] {
            writeln!(out, "{}", path.display())?;
        }
        let mut err = std::io::stderr();
        if issued.new_authority {
            let host = format!("{}:{}", names[0], self.port);
            writeln!(err, "The CA is new. On each host that shall trust it:")?;
            writeln!(err, "  mkdir -p /etc/docker/certs.d/{host}")?;
            writeln!(err, "  cp {} /etc/docker/certs.d/{host}/ca.crt", files.ca_certificate.display())?;
        } else {
            writeln!(err, "The CA is as before: nothing is to be done on any host.")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let files = CertificateFiles::in_directory(&self.directory);
        let mut out = std::io::stdout();
        if self.ca {
            out.write_all(&read(&files.ca_certificate)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let path = self.certificate.unwrap_or(files.certificate);
        let facts = tls::inspect(&path, &read(&path)?)?;
        if self.json {
            writeln!(out, "{:#}", as_json(&path, &facts)?)?;
        } else {
            write_facts(&mut out, &path, &facts)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Check {
    fn run(self) -> anyhow::Result<ExitCode> {
        let files = CertificateFiles::in_directory(&self.directory);
        let certificate = self.certificate.unwrap_or(files.certificate);
        let private_key = self.key.unwrap_or(files.private_key);
        let facts = tls::inspect(&certificate, &read(&certificate)?)?;
        let mut problems = Vec::new();
        let left = facts.not_after - OffsetDateTime::now_utc();
        if left <= Duration::ZERO {
            problems.push(format!("expired on {}", facts.not_after.date()));
        } else if left <= self.within {
            problems.push(format!("expires on {}, in {} days", facts.not_after.date(), left.whole_days()));
        }
        if let Some(name) = self.name.filter(|name| !tls::covers_name(&facts, name)) {
            problems.push(format!("is not valid for {name}"));
        }
        let poll_interval = std::time::Duration::from_secs(2);
        match tls::load(&tls::Config { certificate: certificate.clone(), private_key, poll_interval }) {
            Err(error @ tls::TlsError::Mismatch { .. }) => problems.push(error.to_string()),
            result => drop(result?),
        }
        let mut err = std::io::stderr();
        for problem in &problems {
            writeln!(err, "{}: {problem}", certificate.display())?;
        }
        if problems.is_empty() {
            writeln!(std::io::stdout(), "{}: fine until {}", certificate.display(), facts.not_after.date())?;
            Ok(ExitCode::SUCCESS)
        } else {
            writeln!(err, "hint: pakhuis cert generate --directory {}", self.directory.display())?;
            Ok(ExitCode::from(3))
        }
    }
}

/// The names of a certificate nobody named: this host as itself and its users know it.
pub(super) fn default_names() -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names: Vec<String> = vec!["localhost".into(), "127.0.0.1".into(), "::1".into()];
    if !host.is_empty() && !names.contains(&host) {
        names.insert(0, host);
    }
    names
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write_facts(out: &mut impl Write, path: &Path, facts: &CertificateFacts) -> anyhow::Result<()> {
    let addresses = facts.ip_addresses.iter().map(ToString::to_string);
    let names: Vec<String> = facts.dns_names.iter().cloned().chain(addresses).collect();
    writeln!(out, "file         {}", path.display())?;
    writeln!(out, "subject      {}", facts.subject)?;
    writeln!(out, "issuer       {}", facts.issuer)?;
    writeln!(out, "serial       {}", facts.serial)?;
    writeln!(out, "valid for    {}", names.join(", "))?;
    writeln!(out, "from         {}", facts.not_before.format(&Rfc3339)?)?;
    writeln!(out, "until        {}", facts.not_after.format(&Rfc3339)?)?;
    writeln!(out, "fingerprint  {}", facts.sha256_fingerprint)?;
    writeln!(out, "is a CA      {}", if facts.is_ca { "yes" } else { "no" })?;
    Ok(())
}

fn as_json(path: &Path, facts: &CertificateFacts) -> anyhow::Result<serde_json::Value> {
    Ok(json!({
        "schema": 1,
        "file": path,
        "subject": facts.subject,
        "issuer": facts.issuer,
        "serial": facts.serial,
        "dns_names": facts.dns_names,
        "ip_addresses": facts.ip_addresses,
        "not_before": facts.not_before.format(&Rfc3339)?,
        "not_after": facts.not_after.format(&Rfc3339)?,
        "sha256_fingerprint": facts.sha256_fingerprint,
        "is_ca": facts.is_ca,
    }))
}

fn parse_time_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time span; write it as 30d or 12h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: i64 = digits.parse().ok().filter(|number| (0..=36_500).contains(number)).ok_or_else(wrong)?;
    match &text[digits.len()..] {
        "d" => Ok(Duration::days(number)),
        "h" => Ok(Duration::hours(number)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_exit_code_tells_cron() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().to_path_buf();
        let names = vec!["registry.test".to_owned()];
        tls::issue(&path, &names, 20, false).unwrap();
        let check = |within: &str, name: Option<&str>| {
            let within = parse_time_span(within).unwrap();
            let name = name.map(str::to_owned);
            Check { directory: path.clone(), certificate: None, key: None, within, name }.run().unwrap()
        };
        assert_eq!(check("0d", Some("registry.test")), ExitCode::SUCCESS);
        assert_eq!(check("30d", None), ExitCode::from(3));
        assert_eq!(check("0d", Some("other.test")), ExitCode::from(3));
        let other = TempDir::new().unwrap();
        let key = tls::issue(other.path(), &names, 20, false).unwrap().files.private_key;
        std::fs::copy(key, path.join("server.key")).unwrap();
        assert_eq!(check("0d", None), ExitCode::from(3));
        let missing = Check { directory: other.path().join("none"), certificate: None, key: None, within: Duration::ZERO, name: None };
        assert!(missing.run().is_err());
    }

    #[test]
    fn time_spans() {
        assert_eq!(parse_time_span("30d"), Ok(Duration::days(30)));
        assert_eq!(parse_time_span("12h"), Ok(Duration::hours(12)));
        for text in ["", "d", "30", "30m", "-1d", "99999999999d"] {
            assert!(parse_time_span(text).is_err(), "{text:?}");
        }
    }
}
