//! The configuration as rows of a table: key, value, source.

use std::fmt;

use super::{
    Config, Setting,
    quantity::{ByteSize, Seconds},
};

/// One key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `section.key`, as in the file.
    pub key: &'static str,
    /// The value in force, as it would be written.
    pub value: String,
    /// See [`super::Source`].
    pub source: String,
}

impl Config {
    /// Every key with its value and its source, in the order of the file.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let (server, auth, registry) = (&self.server, &self.auth, &self.registry);
        let absent = || "-".to_owned();
        let mut rows = vec![
            row("server.listen", &server.listen, ToString::to_string),
            row("server.max_connections", &server.max_connections, ToString::to_string),
            row("server.idle_timeout", &server.idle_timeout, |time| Seconds(*time).to_string()),
            row("server.request_stall", &server.request_stall, |time| Seconds(*time).to_string()),
            row("server.response_stall", &server.response_stall, |time| Seconds(*time).to_string()),
            row("server.drain_deadline", &server.drain_deadline, |time| Seconds(*time).to_string()),
            row("storage.root", &self.storage.root, |path| path.display().to_string()),
            row("auth.enabled", &auth.enabled, ToString::to_string),
            row("auth.htpasswd", &auth.htpasswd, |path| path.display().to_string()),
            row("auth.bcrypt_cost", &auth.bcrypt_cost, ToString::to_string),
            row("auth.cache_ttl", &auth.cache_ttl, |time| Seconds(*time).to_string()),
            row("tls.enabled", &self.tls.enabled, ToString::to_string),
        ];
        match &self.tls.files {
            Some(files) => rows.extend([
                row("tls.certificate", &files.certificate, |path| path.display().to_string()),
                row("tls.key", &files.key, |path| path.display().to_string()),
            ]),
            None => rows.push(Row {
                key: "tls.certificate",
                value: format!("made at first start in {}", self.tls.directory.display()),
                source: "default".to_owned(),
            }),
        }
        rows.extend([
            row("registry.manifest_size_limit", &registry.manifest_size_limit, |size| {
                ByteSize(*size).to_string()
            }),
            row("registry.sparse_indexes", &registry.sparse_indexes, ToString::to_string),
            row("registry.delete_enabled", &registry.delete_enabled, ToString::to_string),
            row("ui.enabled", &self.ui.enabled, ToString::to_string),
            row("ui.external_host", &self.ui.external_host, |host| host.clone().unwrap_or_else(absent)),
            row("ui.ca_certificate", &self.ui.ca_certificate, |path| {
                path.as_ref().map_or_else(absent, |path| path.display().to_string())
            }),
            row("log.format", &self.log.format, ToString::to_string),
            row("log.level", &self.log.level, Clone::clone),
        ]);
        rows
    }
}

fn row<T>(key: &'static str, setting: &Setting<T>, written: impl FnOnce(&T) -> String) -> Row {
    Row { key, value: written(&setting.value), source: setting.source.to_string() }
}

/// For tests and messages: `key = value (source)`.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.key, self.value, self.source)
    }
}
