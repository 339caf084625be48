//! The configuration as written: TOML, every section and key optional, unknown ones refused.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// A configuration file. `config/pakhuis.toml` shows every key.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the sections are described in config/pakhuis.toml")]
pub struct ConfigFile {
    pub server: ServerSection,
    pub storage: StorageSection,
    pub auth: AuthSection,
    pub tls: TlsSection,
    pub registry: RegistrySection,
    pub ui: UiSection,
    pub metrics: MetricsSection,
    pub verification: VerificationSection,
    pub log: LogSection,
    pub events: EventsSection,
    pub traces: TracesSection,
}

/// `[server]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    pub listen: Option<String>,
    pub max_connections: Option<u64>,
    pub max_connections_per_address: Option<u64>,
    pub max_requests_per_address: Option<u64>,
    pub trusted_proxies: Option<Vec<String>>,
    pub header_timeout: Option<String>,
    pub idle_timeout: Option<String>,
    pub request_stall: Option<String>,
    pub request_min_rate: Option<String>,
    pub response_stall: Option<String>,
    pub drain_deadline: Option<String>,
}

/// `[storage]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSection {
    pub root: Option<PathBuf>,
    pub must_exist: Option<bool>,
    pub keep_free: Option<String>,
}

/// `[auth]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSection {
    pub enabled: Option<bool>,
    pub htpasswd: Option<PathBuf>,
    pub bcrypt_cost: Option<u64>,
    pub cache_ttl: Option<String>,
    pub max_requests_per_user: Option<u64>,
    pub admins: Option<Vec<String>>,
    pub access: Vec<AccessSection>,
}

/// `[[auth.access]]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessSection {
    pub users: Vec<String>,
    pub repositories: Vec<String>,
    pub allow: Vec<String>,
}

/// `[tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    pub enabled: Option<bool>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub directory: Option<PathBuf>,
}

/// `[registry]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrySection {
    pub manifest_size_limit: Option<u64>,
    pub sparse_manifests: Option<bool>,
    pub delete_enabled: Option<bool>,
    pub warning: Option<String>,
}

/// `[ui]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UiSection {
    pub enabled: Option<bool>,
    pub external_host: Option<String>,
    pub ca_certificate: Option<PathBuf>,
}

/// `[verification]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerificationSection {
    pub interval: Option<String>,
    pub rate: Option<String>,
}

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    pub listen: Option<String>,
}

/// `[log]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    pub format: Option<String>,
    pub level: Option<String>,
    pub audit: Option<String>,
}

/// `[events]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventsSection {
    pub queue: Option<PathBuf>,
    pub target: Vec<TargetSection>,
}

/// `[[events.target]]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetSection {
    pub name: String,
    pub url: String,
    pub secret_file: Option<PathBuf>,
    pub ca_certificate: Option<PathBuf>,
    pub actions: Option<Vec<String>>,
    pub blobs: bool,
    pub repositories: Vec<String>,
    pub timeout: Option<String>,
    pub longest_pause: Option<String>,
    pub give_up: Option<String>,
}

/// `[traces]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracesSection {
    pub endpoint: Option<String>,
    pub ca_certificate: Option<PathBuf>,
    pub headers_file: Option<PathBuf>,
    pub sample_ratio: Option<f64>,
    pub service_name: Option<String>,
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// With the line and the key that is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_path_buf(), message: place(&text, &error) })
    }
}

/// Where the mistake is and what it is. Not the line itself, which may hold the secret of a URL.
fn place(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return error.message().to_owned();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}
