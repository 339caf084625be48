//! `pakhuis cert show`: what the certificates say, or the CA certificate itself for handing out.

use std::fmt::Write as _;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Place, date, line};
use crate::tls::{CertificateDirectory, CertificateFacts, read_facts, read_public_certificates};

/// Show names, dates and fingerprint of the certificates
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pakhuis cert show --directory /etc/pakhuis/certs
  pakhuis cert show --ca > ca.crt")]
pub(crate) struct Show {
    #[command(flatten)]
    place: Place,
    /// Print the CA certificate as PEM and nothing else
    #[arg(long, conflicts_with_all = ["certificate", "json"])]
    ca: bool,
    /// Print JSON: a list with one object a certificate
    #[arg(long)]
    json: bool,
}

impl Show {
    /// Prints on `out`.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let files = CertificateDirectory::at(&self.place.directory);
        if self.ca {
            out.write_all(read_public_certificates(&files.ca_certificate)?.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let shown = match self.place.certificate {
            Some(certificate) => vec![certificate],
            // A directory with certificates from elsewhere has no CA of ours.
            None if files.ca_certificate.exists() => vec![files.ca_certificate, files.certificate],
            None => vec![files.certificate],
        };
        let facts: Vec<(PathBuf, CertificateFacts)> = shown
            .into_iter()
            .map(|path| read_facts(&path).map(|facts| (path, facts)))
            .collect::<Result<_, _>>()?;
        if self.json {
            let list = facts.iter().map(|(path, facts)| as_json(path, facts)).collect();
            line(out, &serde_json::to_string_pretty(&Value::Array(list))?)?;
        } else {
            let texts: Vec<String> = facts.iter().map(|(path, facts)| as_text(path, facts)).collect();
            out.write_all(texts.join("\n").as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn as_text(path: &Path, facts: &CertificateFacts) -> String {
    let days = (facts.not_after - OffsetDateTime::now_utc()).whole_days();
    let addresses: Vec<String> = facts.ip_addresses.iter().map(IpAddr::to_string).collect();
    let rows = [
        ("subject", facts.subject.clone()),
        ("issuer", facts.issuer.clone()),
        ("names", facts.dns_names.join(", ")),
        ("addresses", addresses.join(", ")),
        ("valid from", date(facts.not_before)),
        ("valid until", format!("{} ({days} days left)", date(facts.not_after))),
        ("may sign", if facts.is_ca { "yes, it is a CA" } else { "no" }.to_owned()),
        ("serial", facts.serial.clone()),
        ("sha256", facts.sha256_fingerprint.clone()),
    ];
    let mut text = format!("{}\n", path.display());
    for (label, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {label:<12} {}", printable(value));
    }
    text
}

/// A certificate from elsewhere may carry anything: no control character of it reaches the terminal.
fn printable(value: &str) -> String {
    value.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

fn as_json(path: &Path, facts: &CertificateFacts) -> Value {
    let moment = |moment: OffsetDateTime| moment.format(&Rfc3339).unwrap_or_default();
    json!({
        "path": path.display().to_string(),
        "subject": facts.subject,
        "issuer": facts.issuer,
        "dns_names": facts.dns_names,
        "ip_addresses": facts.ip_addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
        "not_before": moment(facts.not_before),
        "not_after": moment(facts.not_after),
        "is_ca": facts.is_ca,
        "serial": facts.serial,
        "sha256_fingerprint": facts.sha256_fingerprint,
    })
}
