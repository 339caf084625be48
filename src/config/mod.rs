//! The configuration as used: every value checked, with where it came from.
//!
//! A flag wins over the environment, the environment over the file, the file over the default. The environment
//! is given as a function, so that tests need not change that of the process.

mod events;
mod file;
mod sections;
mod settings;
mod traces;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use file::ConfigFile;
use settings::Layers;
pub use settings::{Setting, Source};

use crate::{api, auth, observability, registry, registry::verification, server, storage};

/// What the command line says; `None` and `false` where it says nothing.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--storage`
    pub storage: Option<PathBuf>,
    /// `--htpasswd`
    pub htpasswd: Option<PathBuf>,
    /// `--no-auth`
    pub no_auth: bool,
    /// `--tls-cert`
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`
    pub tls_key: Option<PathBuf>,
    /// `--no-tls`
    pub no_tls: bool,
    /// `--log-format`
    pub log_format: Option<String>,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Plain HTTP.
    Off,
    /// Files the operator named.
    Files {
        /// PEM.
        certificate: PathBuf,
        /// PEM.
        private_key: PathBuf,
    },
    /// Made in this directory on the first start.
    Made {
        /// The directory.
        directory: PathBuf,
    },
}

/// The configuration of each part.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Limits and timers of the server.
    pub server: server::Config,
    /// The volume.
    pub storage: storage::Config,
    /// The registry's limits.
    pub registry: registry::Config,
    /// Bounds of single answers of the API.
    pub api: api::Limits,
    /// Who may come in.
    pub auth: auth::Config,
    /// The htpasswd file, also when nobody needs to sign in: the commands about users edit it.
    pub user_file: PathBuf,
    /// The certificate.
    pub certificates: Certificates,
    /// How often the certificate's files are looked at.
    pub certificate_poll_interval: Duration,
    /// When the server verifies the volume by itself, if at all.
    pub verification: Option<verification::Schedule>,
    /// Where the metrics are served, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether there are pages for people.
    pub ui_enabled: bool,
    /// The `host[:port]` that people and hosts use.
    pub external_host: Option<String>,
    /// The CA certificate that the help page offers.
    pub ca_certificate: Option<PathBuf>,
    /// Who is told what happens, if anybody.
    pub events: Option<crate::events::Config>,
    /// Where traces go, if anywhere.
    pub traces: Option<observability::traces::Config>,
    /// What to log and how.
    pub log: observability::Config,
    /// Every setting as it is in force, with its source.
    pub settings: Vec<Setting>,
}

/// What is wrong with the configuration: what, where, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum ConfigError {
    #[error("cannot read the configuration file {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", .path.display())]
    Parse { path: PathBuf, message: String },
    #[error("{key} ({origin}): {value:?} is no {expected}")]
    Value { key: &'static str, origin: String, value: String, expected: &'static str },
    #[error("{0}")]
    Contradiction(&'static str),
    #[error("auth.access (file): {0}")]
    AccessRule(String),
}

impl Config {
    /// The configuration in force.
    ///
    /// # Errors
    /// Names the key, where it was set, and what it should be.
    pub fn load(flags: &Flags, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let path = flags.config.clone().or_else(|| environment("PAKHUIS_CONFIG").map(PathBuf::from));
        let file = path.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
        let directory = path.as_deref().and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
        let mut layers = Layers::new(environment, directory);
        let config = Self::from_layers(&mut layers, flags, &file)?;
        Ok(Self { settings: layers.into_settings(), file: path, ..config })
    }

    /// The name in [`Config::external_host`], without the port.
    pub fn external_name(&self) -> Option<&str> {
        let host = self.external_host.as_deref()?;
        Some(host.rsplit_once(':').map_or(host, |(name, _)| name))
    }

    fn from_layers(layers: &mut Layers<'_>, flags: &Flags, file: &ConfigFile) -> Result<Self, ConfigError> {
        let listen = layers.parsed(
            "server.listen",
            flags.listen.clone(),
            "PAKHUIS_LISTEN",
            file.server.listen.clone(),
            "127.0.0.1:5000",
            "address and port, such as 0.0.0.0:5000",
        )?;
        let (auth, user_file) = sections::auth(layers, flags, file)?;
        let storage = sections::storage(layers, flags, file, &user_file)?;
        let certificates = sections::certificates(layers, flags, file)?;
        let server = sections::server(layers, file)?;
        let log = sections::log(layers, flags, file)?;
        Ok(Self {
            file: None,
            listen,
            server,
            storage,
            registry: sections::registry(layers, file)?,
            api: api::Limits { warning: sections::warning(layers, file)?.into(), ..api::Limits::default() },
            auth,
            user_file,
            certificates,
            certificate_poll_interval: Duration::from_secs(2),
            verification: sections::verification(layers, file)?,
            metrics_listen: sections::metrics_listen(layers, file)?,
            ui_enabled: layers.switch("ui.enabled", file.ui.enabled, true),
            external_host: layers.optional(
                "ui.external_host",
                "PAKHUIS_EXTERNAL_HOST",
                file.ui.external_host.clone(),
            ),
            ca_certificate: layers.optional_path("ui.ca_certificate", file.ui.ca_certificate.clone()),
            events: events::events(layers, file)?,
            traces: traces::traces(layers, file)?,
            log,
            settings: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests;
