//! The configuration as used: every value checked, with where it came from.
//!
//! A flag wins over the environment, the environment over the file, the file over the default. The environment
//! is given as a function, so that tests need not change that of the process.

mod file;
mod settings;

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
        Ok(Self { settings: layers.into_settings(), ..config })
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
        let (auth, user_file) = auth_config(layers, flags, file)?;
        let mut storage = storage::Config::new(layers.path(
            "storage.root",
            flags.storage.clone(),
            "PAKHUIS_STORAGE",
            file.storage.root.clone(),
            "pakhuis-data",
        ));
        storage.keep_free = layers.bytes("storage.keep_free", file.storage.keep_free.clone(), "64MiB")?;
        storage.remembered_roots = Some(user_file.with_file_name(".pakhuis-roots"));
        let certificates = certificates(layers, flags, file)?;
        let defaults = server::Config::default();
        let server = server::Config {
            max_connections: layers.number(
                "server.max_connections",
                file.server.max_connections,
                defaults.max_connections,
            )?,
            idle_timeout: layers.duration(
                "server.idle_timeout",
                file.server.idle_timeout.as_deref(),
                defaults.idle_timeout,
            )?,
            request_stall: layers.duration(
                "server.request_stall",
                file.server.request_stall.as_deref(),
                defaults.request_stall,
            )?,
            response_stall: layers.duration(
                "server.response_stall",
                file.server.response_stall.as_deref(),
                defaults.response_stall,
            )?,
            drain_deadline: layers.duration(
                "server.drain_deadline",
                file.server.drain_deadline.as_deref(),
                defaults.drain_deadline,
            )?,
            ..defaults
        };
        let log = observability::Config {
            format: layers.parsed_by(
                "log.format",
                flags.log_format.clone(),
                "PAKHUIS_LOG_FORMAT",
                file.log.format.clone(),
                "auto",
                "log format: auto, text or json",
                log_format,
            )?,
            level: layers.parsed_by(
                "log.level",
                None,
                "PAKHUIS_LOG",
                file.log.level.clone(),
                "info",
                "log level: error, warn, info, debug or trace",
                |level| observability::parse_level(level).ok().map(|_| level.to_owned()),
            )?,
        };
        Ok(Self {
            listen,
            server,
            storage,
            registry: registry_config(layers, file)?,
            api: api::Limits { warning: warning(layers, file)?, ..api::Limits::default() },
            auth,
            user_file,
            certificates,
            certificate_poll_interval: Duration::from_secs(2),
            verification: verification_schedule(layers, file)?,
            metrics_listen: metrics_listen(layers, file)?,
            ui_enabled: layers.switch("ui.enabled", file.ui.enabled, true),
            external_host: layers.optional(
                "ui.external_host",
                "PAKHUIS_EXTERNAL_HOST",
                file.ui.external_host.clone(),
            ),
            ca_certificate: layers.optional_path("ui.ca_certificate", file.ui.ca_certificate.clone()),
            log,
            settings: Vec::new(),
        })
    }
}

/// Who may come in, and the htpasswd file.
fn auth_config(
    layers: &mut Layers<'_>,
    flags: &Flags,
    file: &ConfigFile,
) -> Result<(auth::Config, PathBuf), ConfigError> {
    let path = layers.path(
        "auth.htpasswd",
        flags.htpasswd.clone(),
        "PAKHUIS_HTPASSWD",
        file.auth.htpasswd.clone(),
        "pakhuis-htpasswd",
    );
    let enabled = layers.off_switch("auth.enabled", flags.no_auth, "PAKHUIS_NO_AUTH", file.auth.enabled)?;
    if flags.no_auth && flags.htpasswd.is_some() {
        return Err(ConfigError::Contradiction("--no-auth and --htpasswd exclude each other"));
    }
    let defaults = auth::Config::default();
    let bcrypt_cost = layers.number("auth.bcrypt_cost", file.auth.bcrypt_cost, defaults.bcrypt_cost)?;
    if !(4..=16).contains(&bcrypt_cost) {
        let value = bcrypt_cost.to_string();
        return Err(ConfigError::Value {
            key: "auth.bcrypt_cost",
            origin: "file".to_owned(),
            value,
            expected: "number from 4 to 16",
        });
    }
    let cache_lifetime =
        layers.duration("auth.cache_ttl", file.auth.cache_ttl.as_deref(), defaults.cache_lifetime)?;
    Ok((
        auth::Config { htpasswd: enabled.then(|| path.clone()), bcrypt_cost, cache_lifetime, ..defaults },
        path,
    ))
}

fn registry_config(layers: &mut Layers<'_>, file: &ConfigFile) -> Result<registry::Config, ConfigError> {
    let defaults = registry::Config::default();
    let manifest_size_limit = layers.number(
        "registry.manifest_size_limit",
        file.registry.manifest_size_limit,
        defaults.manifest_size_limit,
    )?;
    if manifest_size_limit < 4 << 20 {
        let value = manifest_size_limit.to_string();
        return Err(ConfigError::Value {
            key: "registry.manifest_size_limit",
            origin: "file".to_owned(),
            value,
            expected: "number of bytes from 4194304 up: clients may push that much",
        });
    }
    Ok(registry::Config {
        manifest_size_limit,
        sparse_manifests: layers.switch(
            "registry.sparse_manifests",
            file.registry.sparse_manifests,
            defaults.sparse_manifests,
        ),
        delete_enabled: layers.switch(
            "registry.delete_enabled",
            file.registry.delete_enabled,
            defaults.delete_enabled,
        ),
        ..defaults
    })
}

/// When the volume is verified; never by default, since it reads all of it.
fn verification_schedule(
    layers: &mut Layers<'_>,
    file: &ConfigFile,
) -> Result<Option<verification::Schedule>, ConfigError> {
    let interval =
        layers.duration("verification.interval", file.verification.interval.as_deref(), Duration::ZERO)?;
    let rate = layers.bytes("verification.rate", file.verification.rate.clone(), "20MB")?;
    Ok((!interval.is_zero()).then_some(verification::Schedule { interval, rate }))
}

/// Where the metrics are served; nowhere by default.
fn metrics_listen(layers: &mut Layers<'_>, file: &ConfigFile) -> Result<Option<SocketAddr>, ConfigError> {
    let text = layers.optional("metrics.listen", "PAKHUIS_METRICS_LISTEN", file.metrics.listen.clone());
    let Some(value) = text else { return Ok(None) };
    value.parse().map(Some).map_err(|_| ConfigError::Value {
        key: "metrics.listen",
        origin: "file or environment PAKHUIS_METRICS_LISTEN".to_owned(),
        value,
        expected: "address and port, such as 127.0.0.1:9090",
    })
}

/// The notice for users, in characters that a header can carry.
fn warning(layers: &mut Layers<'_>, file: &ConfigFile) -> Result<Option<String>, ConfigError> {
    let text = layers.optional("registry.warning", "PAKHUIS_WARNING", file.registry.warning.clone());
    match text {
        Some(value) if value.len() > 2000 || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
            let expected = "text of at most 2000 printable ASCII characters";
            Err(ConfigError::Value { key: "registry.warning", origin: "file".to_owned(), value, expected })
        }
        text => Ok(text),
    }
}

fn certificates(
    layers: &mut Layers<'_>,
    flags: &Flags,
    file: &ConfigFile,
) -> Result<Certificates, ConfigError> {
    if flags.no_tls && (flags.tls_cert.is_some() || flags.tls_key.is_some()) {
        return Err(ConfigError::Contradiction("--no-tls excludes --tls-cert and --tls-key"));
    }
    if !layers.off_switch("tls.enabled", flags.no_tls, "PAKHUIS_NO_TLS", file.tls.enabled)? {
        return Ok(Certificates::Off);
    }
    let certificate = layers.layered_path(
        "tls.certificate",
        flags.tls_cert.clone(),
        "PAKHUIS_TLS_CERT",
        file.tls.certificate.clone(),
    );
    let private_key =
        layers.layered_path("tls.key", flags.tls_key.clone(), "PAKHUIS_TLS_KEY", file.tls.key.clone());
    match (certificate, private_key) {
        (Some(certificate), Some(private_key)) => Ok(Certificates::Files { certificate, private_key }),
        (None, None) => {
            let directory = layers.path(
                "tls.directory",
                None,
                "PAKHUIS_TLS_DIRECTORY",
                file.tls.directory.clone(),
                "certs",
            );
            Ok(Certificates::Made { directory })
        }
        _ => Err(ConfigError::Contradiction("the certificate and its key are given together, or neither")),
    }
}

fn log_format(text: &str) -> Option<observability::LogFormat> {
    Some(match text {
        "auto" => observability::LogFormat::Auto,
        "text" => observability::LogFormat::Text,
        "json" => observability::LogFormat::Json,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
