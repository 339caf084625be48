//! The configuration file as it is written: every section and every key optional, an unknown key an error.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    ConfigError, ListenAddress,
    quantity::{ByteSize, Seconds},
};
use crate::observability::LogFormat;

/// One field a section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    pub(super) server: ServerSection,
    pub(super) storage: StorageSection,
    pub(super) auth: AuthSection,
    pub(super) tls: TlsSection,
    pub(super) registry: RegistrySection,
    pub(super) ui: UiSection,
    pub(super) log: LogSection,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerSection {
    pub(super) listen: Option<ListenAddress>,
    pub(super) max_connections: Option<usize>,
    pub(super) idle_timeout: Option<Seconds>,
    pub(super) request_stall: Option<Seconds>,
    pub(super) response_stall: Option<Seconds>,
    pub(super) drain_deadline: Option<Seconds>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StorageSection {
    pub(super) root: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuthSection {
    pub(super) enabled: Option<bool>,
    pub(super) htpasswd: Option<PathBuf>,
    pub(super) bcrypt_cost: Option<u32>,
    pub(super) cache_ttl: Option<Seconds>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsSection {
    pub(super) enabled: Option<bool>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RegistrySection {
    pub(super) manifest_size_limit: Option<ByteSize>,
    pub(super) sparse_indexes: Option<bool>,
    pub(super) delete_enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UiSection {
    pub(super) enabled: Option<bool>,
    pub(super) external_host: Option<String>,
    pub(super) ca_certificate: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogSection {
    #[serde(deserialize_with = "log_format")]
    pub(super) format: Option<LogFormat>,
    pub(super) level: Option<String>,
}

fn log_format<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<LogFormat>, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map(Some).map_err(serde::de::Error::custom)
}

impl ConfigFile {
    /// Reads the file at `path`; relative paths in it become relative to its directory.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut file = Self::parse(&text, path)?;
        file.resolve_paths(path.parent().unwrap_or(Path::new("")));
        Ok(file)
    }

    /// Parses `text`; `path` is only named in errors.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or("").matches('\n').count() + 1;
            // serde calls keys and sections alike fields.
            let message = error.message().replace("unknown field", "unknown key").replace('`', "\"");
            let key =
                text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
            let message = match key {
                Some(key) if !message.contains(&format!("\"{key}\"")) => format!("{key}: {message}"),
                _ => message,
            };
            ConfigError::File { path: path.to_owned(), line, message }
        })
    }

    fn resolve_paths(&mut self, directory: &Path) {
        let paths = [
            &mut self.storage.root,
            &mut self.auth.htpasswd,
            &mut self.tls.certificate,
            &mut self.tls.key,
            &mut self.ui.ca_certificate,
        ];
        for path in paths.into_iter().flatten() {
            *path = directory.join(&path);
        }
    }
}
