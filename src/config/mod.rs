//! The configuration as it is used: validated, every value with its source.
//!
//! A value comes from a flag, else from the environment (`PAKHUIS_*`), else from the file that `--config` or
//! `PAKHUIS_CONFIG` names, else it is the default. Relative paths in the file are relative to the file's
//! directory, all others to the working directory. There are no secrets in a configuration, only paths.

mod error;
mod file;
mod layers;
mod listen_address;
mod quantity;
mod table;
#[cfg(test)]
mod tests;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use error::ConfigError;
pub use layers::{Lookup, Setting, Source};
pub use listen_address::ListenAddress;
pub use table::Row;

use crate::{
    observability::{self, LogFormat},
    server,
};
use file::ConfigFile;
use layers::{Layers, from_flag};
use quantity::Seconds;

/// The OCI specification asks registries to take manifests of at least 4 MiB.
const SMALLEST_MANIFEST_LIMIT: u64 = 4 << 20;

/// What the command line said.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<SocketAddr>,
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
    pub log_format: Option<LogFormat>,
}

/// Everything that is configurable, one field a section.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read, if any.
    pub file: Option<Setting<PathBuf>>,
    /// `[server]`
    pub server: ServerSettings,
    /// `[storage]`
    pub storage: StorageSettings,
    /// `[auth]`
    pub auth: AuthSettings,
    /// `[tls]`
    pub tls: TlsSettings,
    /// `[registry]`
    pub registry: RegistrySettings,
    /// `[ui]`
    pub ui: UiSettings,
    /// `[log]`
    pub log: LogSettings,
}

/// `[server]`: the fields of [`server::Config`] that an admin may want to change, and the address.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the same words as in server::Config")]
pub struct ServerSettings {
    pub listen: Setting<SocketAddr>,
    pub max_connections: Setting<usize>,
    pub idle_timeout: Setting<Duration>,
    pub request_stall: Setting<Duration>,
    pub response_stall: Setting<Duration>,
    pub drain_deadline: Setting<Duration>,
}

/// `[storage]`
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// The root directory, as registry:2's `rootdirectory`.
    pub root: Setting<PathBuf>,
}

/// `[auth]`
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// `false`: everybody may do everything.
    pub enabled: Setting<bool>,
    /// The password file; may be absent, then nobody can log in.
    pub htpasswd: Setting<PathBuf>,
    /// Cost of the hashes we write, 4 to 31; each step doubles the work.
    pub bcrypt_cost: Setting<u32>,
    /// How long a proven password is believed without hashing it again.
    pub cache_ttl: Setting<Duration>,
}

/// `[tls]`
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// `false`: plain HTTP.
    pub enabled: Setting<bool>,
    /// Certificate chain and private key (PEM). `None`: made at first start in [`TlsSettings::directory`].
    pub files: Option<CertificateFiles>,
    /// Where certificates made at first start lie. Never on the image volume, which other servers may see.
    pub directory: PathBuf,
}

/// A certificate chain and its private key; always from the same source.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// PEM, the server's certificate first.
    pub certificate: Setting<PathBuf>,
    /// PEM.
    pub key: Setting<PathBuf>,
}

/// `[registry]`
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Largest manifest taken, in bytes; at least 4 MiB.
    pub manifest_size_limit: Setting<u64>,
    /// Whether an index may name manifests that are not here.
    pub sparse_indexes: Setting<bool>,
    /// Whether tags, manifests and blobs may be deleted over the API.
    pub delete_enabled: Setting<bool>,
}

/// `[ui]`
#[derive(Clone, Debug)]
pub struct UiSettings {
    /// Whether there are pages for people.
    pub enabled: Setting<bool>,
    /// `host[:port]` as people type it; `None`: what the browser asked for.
    pub external_host: Setting<Option<String>>,
    /// The CA certificate (PEM) that the help page offers; `None`: the one made at first start, if any.
    pub ca_certificate: Setting<Option<PathBuf>>,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// See [`LogFormat`].
    pub format: Setting<LogFormat>,
    /// See [`observability::Config::level`].
    pub level: Setting<String>,
}

impl Config {
    /// Reads the configuration of this process.
    ///
    /// # Errors
    /// [`ConfigError`], which says where and what to write instead.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        Self::load_with(flags, &|name| std::env::var_os(name))
    }

    /// As [`Config::load`], with the environment given.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load_with(flags: &Flags, environment: Lookup<'_>) -> Result<Self, ConfigError> {
        let path = from_flag("--config", flags.config.clone()).map_or_else(
            || Layers { environment, file: None }.variable("PAKHUIS_CONFIG"),
            |path| Ok(Some(path)),
        )?;
        let file = path.as_ref().map(|path| ConfigFile::read(&path.value)).transpose()?.unwrap_or_default();
        let layers = Layers { environment, file: path.as_ref().map(|path| path.value.as_path()) };
        let config = Self {
            server: server_settings(flags, &layers, &file)?,
            storage: StorageSettings {
                root: from_flag("--storage", flags.storage.clone())
                    .or(layers.variable("PAKHUIS_STORAGE")?)
                    .unwrap_or_else(|| layers.in_file(file.storage.root.clone(), "./pakhuis-data".into())),
            },
            auth: auth_settings(flags, &layers, &file)?,
            tls: tls_settings(flags, &layers, &file)?,
            registry: RegistrySettings {
                manifest_size_limit: layers
                    .in_file(file.registry.manifest_size_limit.map(|size| size.0), SMALLEST_MANIFEST_LIMIT),
                sparse_indexes: layers.in_file(file.registry.sparse_indexes, false),
                delete_enabled: layers.in_file(file.registry.delete_enabled, true),
            },
            ui: UiSettings {
                enabled: layers.in_file(file.ui.enabled, true),
                external_host: layers
                    .variable("PAKHUIS_EXTERNAL_HOST")?
                    .map(|host| host.map(Some))
                    .unwrap_or_else(|| layers.in_file(file.ui.external_host.clone().map(Some), None)),
                ca_certificate: layers
                    .variable("PAKHUIS_CA_CERTIFICATE")?
                    .map(|path| path.map(Some))
                    .unwrap_or_else(|| layers.in_file(file.ui.ca_certificate.clone().map(Some), None)),
            },
            log: LogSettings {
                format: from_flag("--log-format", flags.log_format)
                    .or(layers.variable("PAKHUIS_LOG_FORMAT")?)
                    .unwrap_or_else(|| layers.in_file(file.log.format, LogFormat::Auto)),
                level: layers
                    .variable("PAKHUIS_LOG")?
                    .unwrap_or_else(|| layers.in_file(file.log.level.clone(), "info".to_owned())),
            },
            file: path.clone(),
        };
        config.validate()?;
        Ok(config)
    }

    /// What [`server::serve`] needs.
    #[must_use]
    pub fn server_config(&self) -> server::Config {
        server::Config {
            max_connections: self.server.max_connections.value,
            idle_timeout: self.server.idle_timeout.value,
            request_stall: self.server.request_stall.value,
            response_stall: self.server.response_stall.value,
            drain_deadline: self.server.drain_deadline.value,
            ..server::Config::default()
        }
    }

    /// What [`observability::init`] needs.
    #[must_use]
    pub fn log_config(&self) -> observability::Config {
        observability::Config { format: self.log.format.value, level: self.log.level.value.clone() }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let limit = &self.registry.manifest_size_limit;
        require(limit.value >= SMALLEST_MANIFEST_LIMIT, "[registry] manifest_size_limit", limit, || {
            "is below what clients may rely on; write \"4MiB\" or more".to_owned()
        })?;
        let cost = &self.auth.bcrypt_cost;
        require((4..=31).contains(&cost.value), "[auth] bcrypt_cost", cost, || {
            format!("{} is out of range; write 4 to 31, 10 takes about 50 ms", cost.value)
        })?;
        let connections = &self.server.max_connections;
        require(connections.value > 0, "[server] max_connections", connections, || {
            "0 would serve nobody; write for example 10000".to_owned()
        })?;
        for (key, limit) in self.timers() {
            require(!limit.value.is_zero(), key, limit, || "must be at least 1s".to_owned())?;
        }
        if let Some(host) = &self.ui.external_host.value {
            require(is_host(host), "[ui] external_host", &self.ui.external_host, || {
                format!(
                    "\"{host}\" is no host name; write it without https:// and path: registry.example.org:5000"
                )
            })?;
        }
        let level = &self.log.level;
        observability::parse_level(&level.value)
            .map_err(|error| value_error("[log] level", level, error.to_string()))?;
        Ok(())
    }

    fn timers(&self) -> [(&'static str, &Setting<Duration>); 3] {
        [
            ("[server] idle_timeout", &self.server.idle_timeout),
            ("[server] request_stall", &self.server.request_stall),
            ("[server] response_stall", &self.server.response_stall),
        ]
    }
}

fn server_settings(
    flags: &Flags,
    layers: &Layers<'_>,
    file: &ConfigFile,
) -> Result<ServerSettings, ConfigError> {
    let (file, default) = (&file.server, server::Config::default());
    let seconds =
        |written: Option<Seconds>, default| layers.in_file(written.map(|seconds| seconds.0), default);
    Ok(ServerSettings {
        listen: from_flag("--listen", flags.listen)
            .or(layers
                .variable::<ListenAddress>("PAKHUIS_LISTEN")?
                .map(|listen| listen.map(|address| address.0)))
            .unwrap_or_else(|| {
                let default = (Ipv4Addr::LOCALHOST, 5000).into();
                layers.in_file(file.listen.map(|address| address.0), default)
            }),
        max_connections: layers.in_file(file.max_connections, default.max_connections),
        idle_timeout: seconds(file.idle_timeout, default.idle_timeout),
        request_stall: seconds(file.request_stall, default.request_stall),
        response_stall: seconds(file.response_stall, default.response_stall),
        drain_deadline: seconds(file.drain_deadline, default.drain_deadline),
    })
}

fn auth_settings(flags: &Flags, layers: &Layers<'_>, file: &ConfigFile) -> Result<AuthSettings, ConfigError> {
    let in_flag = from_flag("--htpasswd", flags.htpasswd.clone());
    let in_environment = layers.variable::<PathBuf>("PAKHUIS_HTPASSWD")?;
    let in_file = layers.from_file(file.auth.htpasswd.clone());
    let enabled = enabled(
        layers,
        [("--no-auth", flags.no_auth, in_flag.as_ref()), ("PAKHUIS_NO_AUTH", false, in_environment.as_ref())],
        file.auth.enabled.or(in_file.as_ref().map(|_| true)),
    )?;
    Ok(AuthSettings {
        enabled,
        htpasswd: in_flag
            .or(in_environment)
            .or(in_file)
            .unwrap_or(Setting { value: "./pakhuis-htpasswd".into(), source: Source::Default }),
        bcrypt_cost: layers.in_file(file.auth.bcrypt_cost, 10),
        cache_ttl: layers.in_file(file.auth.cache_ttl.map(|ttl| ttl.0), Duration::from_secs(300)),
    })
}

fn tls_settings(flags: &Flags, layers: &Layers<'_>, file: &ConfigFile) -> Result<TlsSettings, ConfigError> {
    let in_flag = pair(
        from_flag("--tls-cert", flags.tls_cert.clone()),
        from_flag("--tls-key", flags.tls_key.clone()),
        ["--tls-cert", "--tls-key"],
    )?;
    let in_environment = pair(
        layers.variable("PAKHUIS_TLS_CERT")?,
        layers.variable("PAKHUIS_TLS_KEY")?,
        ["PAKHUIS_TLS_CERT", "PAKHUIS_TLS_KEY"],
    )?;
    let in_file = pair(
        layers.from_file(file.tls.certificate.clone()),
        layers.from_file(file.tls.key.clone()),
        ["[tls] certificate", "[tls] key"],
    )?;
    let certificate =
        |files: &Option<CertificateFiles>| files.as_ref().map(|files| files.certificate.clone());
    let enabled = enabled(
        layers,
        [
            ("--no-tls", flags.no_tls, certificate(&in_flag).as_ref()),
            ("PAKHUIS_NO_TLS", false, certificate(&in_environment).as_ref()),
        ],
        file.tls.enabled.or(in_file.as_ref().map(|_| true)),
    )?;
    Ok(TlsSettings {
        enabled,
        files: in_flag.or(in_environment).or(in_file),
        directory: "./pakhuis-certs".into(),
    })
}

/// Whether something is on: the highest layer that says `no` or names a file for it decides.
fn enabled(
    layers: &Layers<'_>,
    [(flag, off_by_flag, named_by_flag), (variable, _, named_by_variable)]: [(&'static str, bool, Option<&Setting<PathBuf>>);
        2],
    in_file: Option<bool>,
) -> Result<Setting<bool>, ConfigError> {
    if off_by_flag {
        return Ok(Setting { value: false, source: Source::Flag(flag) });
    }
    if let Some(named) = named_by_flag {
        return Ok(Setting { value: true, source: named.source.clone() });
    }
    let off = layers.switch(variable)?;
    if let (Some(Setting { value: true, .. }), Some(named)) = (&off, named_by_variable) {
        let message = format!("contradicts {}: unset one of them", named.source);
        return Err(ConfigError::Value { place: variable.to_owned(), message });
    }
    let by_environment = off
        .map(|off| off.map(|off| !off))
        .or(named_by_variable.map(|named| Setting { value: true, source: named.source.clone() }));
    Ok(by_environment.unwrap_or_else(|| layers.in_file(in_file, true)))
}

fn pair(
    certificate: Option<Setting<PathBuf>>,
    key: Option<Setting<PathBuf>>,
    [certificate_name, key_name]: [&str; 2],
) -> Result<Option<CertificateFiles>, ConfigError> {
    let (present, absent) = match (certificate, key) {
        (Some(certificate), Some(key)) => return Ok(Some(CertificateFiles { certificate, key })),
        (None, None) => return Ok(None),
        (Some(_), None) => (certificate_name, key_name),
        (None, Some(_)) => (key_name, certificate_name),
    };
    let message = format!("needs {absent} beside it");
    Err(ConfigError::Value { place: present.to_owned(), message })
}

fn require<T>(
    holds: bool,
    key: &str,
    setting: &Setting<T>,
    message: impl FnOnce() -> String,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(value_error(key, setting, message())) }
}

fn value_error<T>(key: &str, setting: &Setting<T>, message: String) -> ConfigError {
    let place = match &setting.source {
        Source::File(path) => format!("{}: {key}", path.display()),
        Source::Flag(_) | Source::Environment(_) | Source::Default => setting.source.to_string(),
    };
    ConfigError::Value { place, message }
}

/// `host` or `host:port`, with nothing that would change the meaning of a command it is pasted into.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, port)
        }
        _ => (text, "0"),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    !host.is_empty() && host.bytes().all(legal) && port.parse::<u16>().is_ok()
}
