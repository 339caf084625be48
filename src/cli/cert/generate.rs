//! `pakhuis cert generate`: the authority if there is none, and always a fresh server certificate.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;

use super::line;
use crate::cli::audit;
use crate::config::{Config, Flags};
use crate::tls::{
    CertificateDirectory, DEFAULT_SERVER_DAYS, Renewal, SubjectName, TlsError, default_names, read_facts,
    renew,
};

const WRONG_USAGE: u8 = 2;
const LOCKED: u8 = 5;

/// Make a server certificate, and the private CA that signs it if there is none
///
/// The CA is kept, so the other machines notice nothing of a renewal, and a running server takes the new
/// certificate over within seconds. Private keys are written with mode 0600.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pakhuis cert generate --name registry.example.org --name 192.0.2.7
  pakhuis cert generate --directory /etc/pakhuis/certs --days 90 --config /etc/pakhuis/pakhuis.toml")]
pub(crate) struct Generate {
    /// Directory for ca.crt, ca.key, server.crt and server.key
    #[arg(long, value_name = "DIR", default_value = "./certs")]
    directory: PathBuf,
    /// Configuration file of the server, whose audit log is told (environment: PAKHUIS_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Host name or IP address that clients use; repeat for more
    /// [default: the names of the certificate that is there, otherwise host name, localhost, 127.0.0.1, ::1]
    #[arg(long = "name", value_name = "NAME_OR_IP", verbatim_doc_comment)]
    names: Vec<String>,
    /// Life of the server certificate in days, at most 825
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SERVER_DAYS)]
    days: u32,
    /// Replace the CA too: every client then needs the new ca.crt
    #[arg(long)]
    renew_ca: bool,
    /// Port of the registry, for the instructions printed
    #[arg(long, default_value_t = 5000)]
    port: u16,
}

impl Generate {
    /// Prints the paths written, one a line, on `out`, and what to do next on `err`.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the existing CA cannot sign.
    pub(super) fn run(self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let files = CertificateDirectory::at(&self.directory);
        let before = names_in_use(&files);
        let is_first = !files.certificate.exists();
        let names = if self.names.is_empty() { before.clone() } else { self.names.clone() };
        let renewal = Renewal { names: names.clone(), days: self.days, renew_authority: self.renew_ca };
        let written = match renew(&self.directory, &renewal) {
            Ok(written) => written,
            Err(error) => return self.explain(error, err),
        };
        for path in &written {
            line(out, &path.display().to_string())?;
        }
        self.record(err)?;
        line(err, &format!("server certificate for {}", names.join(", ")))?;
        for dropped in before.iter().filter(|name| !is_first && !names.contains(name)) {
            line(err, &format!("no longer valid for {dropped}; to keep it, give it as --name too"))?;
        }
        let added: Vec<String> =
            names.iter().filter(|name| is_first || !before.contains(name)).cloned().collect();
        if written.contains(&files.ca_certificate) {
            self.say_what_to_copy(&names, &files.ca_certificate, err)?;
        } else if added.is_empty() {
            line(err, "the CA is unchanged: nothing to do on other machines")?;
        } else {
            self.say_what_to_copy(&added, &files.ca_certificate, err)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The certificate is made, whatever becomes of this.
    fn record(&self, err: &mut dyn Write) -> anyhow::Result<()> {
        let flags = Flags { config: self.config.clone(), ..Flags::default() };
        match Config::load(&flags, &|name| std::env::var(name).ok()) {
            Ok(config) => {
                let command = if self.renew_ca { "cert generate --renew-ca" } else { "cert generate" };
                audit::record(&config, command, &self.directory.to_string_lossy());
                Ok(())
            }
            Err(error) => line(err, &format!("warning: the audit log is not told: {error}")),
        }
    }

    fn say_what_to_copy(&self, names: &[String], ca: &Path, err: &mut dyn Write) -> anyhow::Result<()> {
        line(err, "")?;
        line(err, "Next, on every machine that pushes or pulls (docker needs no restart):")?;
        let host = match names.first().map(|name| name.parse::<SubjectName>()) {
            Some(Ok(SubjectName::Ip(IpAddr::V6(address)))) => format!("[{address}]"),
            Some(Ok(name)) => name.to_string(),
            Some(Err(_)) | None => "localhost".to_owned(),
        };
        let directory = format!("/etc/docker/certs.d/{host}:{}", self.port);
        line(err, &format!("  sudo mkdir -p {directory}"))?;
        line(err, &format!("  sudo cp {} {directory}/ca.crt", ca.display()))?;
        line(err, "The same for each other name that clients use. Keep ca.key to yourself.")
    }

    fn explain(&self, error: TlsError, err: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let directory = self.directory.display();
        match error {
            TlsError::Name { .. } | TlsError::NoNames | TlsError::Days { .. } => {
                line(err, &format!("error: {error}; for the options: pakhuis cert generate --help"))?;
                Ok(ExitCode::from(WRONG_USAGE))
            }
            TlsError::Locked { .. } => {
                line(err, &format!("error: {error}; try again when it is done"))?;
                Ok(ExitCode::from(LOCKED))
            }
            TlsError::AuthorityExpired { .. }
            | TlsError::KeyMissing { .. }
            | TlsError::KeyMismatch { .. }
            | TlsError::NotAnAuthority { .. } => Err(anyhow!(
                "{error}; for a new CA, which every client must then be given: \
                 pakhuis cert generate --directory {directory} --renew-ca"
            )),
            other => Err(other.into()),
        }
    }
}

/// A renewal without names must not lose those that clients use.
fn names_in_use(files: &CertificateDirectory) -> Vec<String> {
    let Ok(facts) = read_facts(&files.certificate) else { return default_names() };
    let addresses = facts.ip_addresses.iter().map(IpAddr::to_string);
    let names: Vec<String> = facts.dns_names.into_iter().chain(addresses).collect();
    if names.is_empty() { default_names() } else { names }
}
