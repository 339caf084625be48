//! `pakhuis cert check`: an exit code for cron, and a line a problem saying what to do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use time::OffsetDateTime;

use super::{PROBLEMS_FOUND, Place, date, line, parse_duration};
use crate::tls::{
    CertificateDirectory, CertificateFacts, ServerIdentity, TlsError, covers_name, issued_by, read_facts,
};

/// Check that the certificate, its key and its CA fit together and stay valid
///
/// Exit code 0: fine. 3: a problem, each on a line of its own. 1: a file could not be read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pakhuis cert check --within 30d
  pakhuis cert check --certificate server.crt --key server.key --name registry.example.org")]
pub(crate) struct Check {
    #[command(flatten)]
    place: Place,
    /// The private key to the certificate file
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Report a certificate that expires within this time: 30d, 12h
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse_duration)]
    within: Duration,
    /// Report a certificate that is not for this host name or IP address; repeat for more
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
}

impl Check {
    /// Prints `ok`, or each problem, on `out`, as things stand at `now`.
    ///
    /// # Errors
    /// When a file cannot be read or parsed.
    pub(super) fn run(self, out: &mut dyn Write, now: OffsetDateTime) -> anyhow::Result<ExitCode> {
        let files = CertificateDirectory::at(&self.place.directory);
        let (certificate, key, authority) = match &self.place.certificate {
            Some(certificate) => (certificate.clone(), self.key.clone(), None),
            None => {
                let authority = Some(files.ca_certificate).filter(|path| path.exists());
                (files.certificate, Some(files.private_key), authority)
            }
        };
        let facts = read_facts(&certificate)?;
        let mut problems = self.date_problems(&certificate, &facts, now);
        if let Some(authority) = &authority {
            problems.extend(self.date_problems(authority, &read_facts(authority)?, now));
            // Out of date, the chain fails for a reason that has been said already.
            if problems.is_empty()
                && let Some(reason) = issued_by(&certificate, authority)?
            {
                let (certificate, authority) = (certificate.display(), authority.display());
                problems.push(format!("{certificate}: clients that trust {authority} refuse it: {reason}"));
            }
        }
        if let Some(key) = &key {
            match ServerIdentity::read(&certificate, key) {
                Ok(_) => {}
                Err(mismatch @ TlsError::KeyMismatch { .. }) => problems.push(mismatch.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        for name in self.names.iter().filter(|name| !covers_name(&facts, name)) {
            problems.push(format!("{}: not for {name:?}, {}", certificate.display(), names_of(&facts)));
        }
        if problems.is_empty() {
            let days = (facts.not_after - now).whole_days();
            let (certificate, until) = (certificate.display(), date(facts.not_after));
            line(out, &format!("{certificate}: ok, {days} days left, until {until}"))?;
            return Ok(ExitCode::SUCCESS);
        }
        for problem in problems {
            line(out, &problem)?;
        }
        Ok(ExitCode::from(PROBLEMS_FOUND))
    }

    fn date_problems(&self, path: &Path, facts: &CertificateFacts, now: OffsetDateTime) -> Vec<String> {
        let (path, from, until) = (path.display(), date(facts.not_before), date(facts.not_after));
        let problem = if facts.not_after <= now {
            format!("{path}: expired on {until}")
        } else if facts.not_before > now {
            format!("{path}: not valid before {from}; is the clock right?")
        } else if facts.not_after - now <= self.within {
            format!("{path}: expires in {} days, on {until}", (facts.not_after - now).whole_days())
        } else {
            return Vec::new();
        };
        let next = match (facts.is_ca, &self.place.certificate) {
            (_, Some(_)) => String::new(),
            (true, None) => {
                format!("; to renew: pakhuis cert generate --directory {} --renew-ca", self.directory())
            }
            (false, None) => format!("; to renew: pakhuis cert generate --directory {}", self.directory()),
        };
        vec![problem + &next]
    }

    fn directory(&self) -> std::path::Display<'_> {
        self.place.directory.display()
    }
}

fn names_of(facts: &CertificateFacts) -> String {
    let addresses = facts.ip_addresses.iter().map(ToString::to_string);
    let names: Vec<String> = facts.dns_names.iter().cloned().chain(addresses).collect();
    if names.is_empty() {
        "it carries no names at all".to_owned()
    } else {
        format!("only for {}", names.join(", "))
    }
}
