//! `pakhuis convert-config`: what registry:2 was told, in its `config.yml` and in `REGISTRY_*`, as our configuration.
//! Whatever has no equivalent is named; values that may be secrets are never written.

mod mapping;
mod written;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use mapping::{Conversion, convert};
use written::Written;

/// Exit code when something has no equivalent.
const FINDINGS: u8 = 3;

/// Turn the configuration of registry:2 into one of Pakhuis, on standard output
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 when all of it was converted, 3 when something has no equivalent: it is named, on standard error and as\ncomments.\n\nExamples:\n  pakhuis convert-config /etc/docker/registry/config.yml > pakhuis.toml\n  REGISTRY_HTTP_ADDR=:5000 pakhuis convert-config > pakhuis.toml"
)]
pub(super) struct ConvertConfig {
    /// The config.yml of registry:2; variables REGISTRY_* win over it, as there
    file: Option<PathBuf>,
}

impl ConvertConfig {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let text = match &self.file {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
            }
            None => String::new(),
        };
        let written = Written::read(&text, std::env::vars())?;
        let Conversion { toml, without_equivalent } = convert(written);
        std::io::stdout().write_all(toml.as_bytes())?;
        let mut err = std::io::stderr();
        for line in &without_equivalent {
            writeln!(err, "no equivalent: {line}")?;
        }
        Ok(ExitCode::from(if without_equivalent.is_empty() { 0 } else { FINDINGS }))
    }
}

#[cfg(test)]
mod tests;
