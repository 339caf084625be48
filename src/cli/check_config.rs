//! `pakhuis check-config`: the configuration in force, and what would go wrong with it.

use std::{
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use time::{Duration, OffsetDateTime};

use super::{USAGE, serve::ServeSettings};
use crate::{
    config::{Certificates, Config, Setting},
    storage::Storage,
    tls::{self, CertificateFacts},
};

/// Show the configuration in force with the source of each value, and check it
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 when all is well, 3 with warnings only, 2 with errors.\n\nExamples:\n  pakhuis check-config\n  pakhuis check-config --config /etc/pakhuis/pakhuis.toml"
)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    settings: ServeSettings,
}

/// What is wrong.
#[derive(Debug, Default)]
struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl CheckConfig {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.settings.load()?;
        write_settings(&mut std::io::stdout(), &config.settings)?;
        let mut findings = Findings::default();
        check_listen(&config, &mut findings);
        check_storage(&config, &mut findings);
        check_htpasswd(&config, &mut findings);
        check_certificates(&config, &mut findings);
        let mut err = std::io::stderr();
        for error in &findings.errors {
            writeln!(err, "error: {error}")?;
        }
        for warning in &findings.warnings {
            writeln!(err, "warning: {warning}")?;
        }
        Ok(ExitCode::from(match (findings.errors.is_empty(), findings.warnings.is_empty()) {
            (true, true) => 0,
            (true, false) => 3,
            (false, _) => USAGE,
        }))
    }
}

fn write_settings(out: &mut impl Write, settings: &[Setting]) -> std::io::Result<()> {
    let width = |text: fn(&Setting) -> usize| settings.iter().map(text).max().unwrap_or(0);
    let (keys, values) = (width(|s| s.key.len()), width(|s| s.value.len()));
    writeln!(out, "{:keys$}  {:values$}  SOURCE", "KEY", "VALUE")?;
    for setting in settings {
        writeln!(out, "{:keys$}  {:values$}  {}", setting.key, setting.value, setting.source)?;
    }
    Ok(())
}

fn check_listen(config: &Config, findings: &mut Findings) {
    if let Err(error) = TcpListener::bind(config.listen) {
        findings
            .errors
            .push(format!("cannot listen on {}: {error}; is another server running there?", config.listen));
    }
}

/// Opens the volume as the server would, and writes to it. A volume that is not there is not made.
fn check_storage(config: &Config, findings: &mut Findings) {
    let root = &config.storage.root;
    if !root.exists() {
        let parent =
            root.ancestors().find(|parent| parent.exists() || parent.as_os_str().is_empty()).unwrap_or(root);
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        if let Err(error) = rustix::fs::access(parent, rustix::fs::Access::WRITE_OK) {
            findings.errors.push(format!(
                "{} is not there and cannot be made in {}: {error}",
                root.display(),
                parent.display()
            ));
        } else {
            findings.warnings.push(format!(
                "{} is not there; the server will make it. Is the share mounted?",
                root.display()
            ));
        }
        return;
    }
    match Storage::open(config.storage.clone()) {
        Err(error) => findings.errors.push(format!("{:#}", anyhow::Error::from(error))),
        Ok(storage) => {
            if let Err(error) = storage.check_writable() {
                findings.errors.push(format!("{:#}", anyhow::Error::from(error)));
            }
        }
    }
}

fn check_htpasswd(config: &Config, findings: &mut Findings) {
    match &config.auth.htpasswd {
        None => findings
            .warnings
            .push("nobody needs to sign in: everybody who reaches the port may push and delete".to_owned()),
        Some(path) => match std::fs::File::open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => findings.warnings.push(format!(
                "{} is not there: nobody can sign in. Add a user: pakhuis add-user NAME --htpasswd {}",
                path.display(),
                path.display()
            )),
            Err(error) => findings.errors.push(format!("cannot read {}: {error}", path.display())),
        },
    }
}

fn check_certificates(config: &Config, findings: &mut Findings) {
    let (certificate, private_key) = match &config.certificates {
        Certificates::Off => {
            findings.warnings.push("plain HTTP: passwords cross the network readable".to_owned());
            return;
        }
        Certificates::Files { certificate, private_key } => (certificate.clone(), private_key.clone()),
        Certificates::Made { directory } => {
            let files = tls::CertificateDirectory::at(directory);
            if !files.certificate.exists() {
                return;
            }
            (files.certificate, files.private_key)
        }
    };
    let facts = read_certificate(&certificate, private_key, config.certificate_poll_interval);
    match facts {
        Err(error) => findings.errors.push(format!("{error:#}")),
        Ok(facts) => check_facts(config, &certificate, &facts, findings),
    }
}

fn read_certificate(
    certificate: &Path,
    private_key: PathBuf,
    poll_interval: std::time::Duration,
) -> anyhow::Result<CertificateFacts> {
    tls::load(&tls::Config { certificate: certificate.to_path_buf(), private_key, poll_interval })?;
    Ok(tls::read_facts(certificate)?)
}

fn check_facts(config: &Config, certificate: &Path, facts: &CertificateFacts, findings: &mut Findings) {
    let left = facts.not_after - OffsetDateTime::now_utc();
    if left <= Duration::ZERO {
        findings.errors.push(format!("{} expired on {}", certificate.display(), facts.not_after.date()));
    } else if left < Duration::days(30) {
        findings.warnings.push(format!("{} expires on {}", certificate.display(), facts.not_after.date()));
    }
    if let Some(name) = config.external_name()
        && !tls::covers_name(facts, name)
    {
        let addresses = facts.ip_addresses.iter().map(ToString::to_string);
        let names: Vec<String> = facts.dns_names.iter().cloned().chain(addresses).collect();
        findings.errors.push(format!(
            "{} is not valid for {name}, only for {}; make one that is: pakhuis cert generate --directory {} {}--name {name}",
            certificate.display(),
            names.join(", "),
            certificate.parent().unwrap_or(Path::new(".")).display(),
            names.iter().map(|name| format!("--name {name} ")).collect::<String>(),
        ));
    }
    if facts.is_ca {
        findings.errors.push(format!(
            "{} is the certificate of a CA; some clients refuse it as a server's",
            certificate.display()
        ));
    }
}
