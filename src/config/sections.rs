//! The sections of the configuration, each made of what the layers say, checked.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Certificates, ConfigError, ConfigFile, Flags, file::AccessSection, settings::Layers};
use crate::{auth, observability, registry, registry::verification, server, storage};

/// The volume. What was in use is remembered beside the htpasswd file.
pub(super) fn storage(
    layers: &mut Layers<'_>,
    flags: &Flags,
    file: &ConfigFile,
    user_file: &Path,
) -> Result<storage::Config, ConfigError> {
    let mut config = storage::Config::new(layers.path(
        "storage.root",
        flags.storage.clone(),
        "PAKHUIS_STORAGE",
        file.storage.root.clone(),
        "pakhuis-data",
    ));
    config.keep_free = layers.bytes("storage.keep_free", file.storage.keep_free.clone(), "64MiB")?;
    config.must_exist = layers.switch("storage.must_exist", file.storage.must_exist, false);
    config.remembered_roots = Some(user_file.with_file_name(".pakhuis-roots"));
    Ok(config)
}

/// The bounds of connections.
pub(super) fn server(layers: &mut Layers<'_>, file: &ConfigFile) -> Result<server::Config, ConfigError> {
    let defaults = server::Config::default();
    Ok(server::Config {
        max_connections: layers.number(
            "server.max_connections",
            file.server.max_connections,
            defaults.max_connections,
        )?,
        header_timeout: layers.duration(
            "server.header_timeout",
            file.server.header_timeout.as_deref(),
            defaults.header_timeout,
        )?,
        limits: limits(layers, file)?.into(),
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
    })
}

/// What can be changed while the server runs.
fn limits(layers: &mut Layers<'_>, file: &ConfigFile) -> Result<server::Limits, ConfigError> {
    let defaults = server::Limits::default();
    let listed = file.server.trusted_proxies.as_ref().map(|list| list.join(", "));
    Ok(server::Limits {
        connections_per_address: layers.number(
            "server.max_connections_per_address",
            file.server.max_connections_per_address,
            defaults.connections_per_address,
        )?,
        requests_per_address: layers.number(
            "server.max_requests_per_address",
            file.server.max_requests_per_address,
            defaults.requests_per_address,
        )?,
        request_min_rate: layers.bytes(
            "server.request_min_rate",
            file.server.request_min_rate.clone(),
            "256B",
        )?,
        trusted_proxies: layers.parsed_by(
            "server.trusted_proxies",
            None,
            "PAKHUIS_TRUSTED_PROXIES",
            listed,
            "",
            "list of addresses and networks, such as 10.0.0.1 and 10.0.0.0/8",
            |text| {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(|item| item.parse().ok()).collect()
            },
        )?,
    })
}

/// What is logged, and how.
pub(super) fn log(
    layers: &mut Layers<'_>,
    flags: &Flags,
    file: &ConfigFile,
) -> Result<observability::Config, ConfigError> {
    Ok(observability::Config {
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
        audit: audit(layers, file)?,
    })
}

/// Where the audit log goes; nowhere by default.
fn audit(
    layers: &mut Layers<'_>,
    file: &ConfigFile,
) -> Result<Option<observability::audit::Destination>, ConfigError> {
    let Some(value) = layers.optional("log.audit", "PAKHUIS_AUDIT", file.log.audit.clone()) else {
        return Ok(None);
    };
    value.parse().map(Some).map_err(|_| ConfigError::Value {
        key: "log.audit",
        origin: "file or environment PAKHUIS_AUDIT".to_owned(),
        value,
        expected: "destination: syslog, or the absolute path of a file",
    })
}

/// Who may come in, and the htpasswd file.
pub(super) fn auth(
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
    let admins = layers.names("auth.admins", file.auth.admins.as_deref())?;
    let access = access(layers, file)?;
    let max_requests_per_user = layers.number(
        "auth.max_requests_per_user",
        file.auth.max_requests_per_user,
        defaults.max_requests_per_user,
    )?;
    let htpasswd = enabled.then(|| path.clone());
    let config = auth::Config {
        admins,
        access,
        htpasswd,
        bcrypt_cost,
        cache_lifetime,
        max_requests_per_user,
        ..defaults
    };
    Ok((config, path))
}

/// The rules of `[[auth.access]]`.
fn access(layers: &mut Layers<'_>, file: &ConfigFile) -> Result<Vec<auth::AccessRule>, ConfigError> {
    let mut rules = Vec::new();
    for section in &file.auth.access {
        let rule = auth::AccessRule::parse(&section.users, &section.repositories, &section.allow);
        rules.push(rule.map_err(ConfigError::AccessRule)?);
    }
    let told = |section: &AccessSection| {
        let list = |names: &[String]| names.join(" ");
        let AccessSection { users, repositories, allow } = section;
        format!("{}: {} of {}", list(users), list(allow), list(repositories))
    };
    if !file.auth.access.is_empty() {
        let told: Vec<_> = file.auth.access.iter().map(told).collect();
        layers.noted("auth.access", told.join("; "));
    }
    Ok(rules)
}

pub(super) fn registry(layers: &mut Layers<'_>, file: &ConfigFile) -> Result<registry::Config, ConfigError> {
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
pub(super) fn verification(
    layers: &mut Layers<'_>,
    file: &ConfigFile,
) -> Result<Option<verification::Schedule>, ConfigError> {
    let interval =
        layers.duration("verification.interval", file.verification.interval.as_deref(), Duration::ZERO)?;
    let rate = layers.bytes("verification.rate", file.verification.rate.clone(), "20MB")?;
    Ok((!interval.is_zero()).then_some(verification::Schedule { interval, rate }))
}

/// Where the metrics are served; nowhere by default.
pub(super) fn metrics_listen(
    layers: &mut Layers<'_>,
    file: &ConfigFile,
) -> Result<Option<SocketAddr>, ConfigError> {
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
pub(super) fn warning(layers: &mut Layers<'_>, file: &ConfigFile) -> Result<Option<String>, ConfigError> {
    let text = layers.optional("registry.warning", "PAKHUIS_WARNING", file.registry.warning.clone());
    match text {
        Some(value) if value.len() > 2000 || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
            let expected = "text of at most 2000 printable ASCII characters";
            Err(ConfigError::Value { key: "registry.warning", origin: "file".to_owned(), value, expected })
        }
        text => Ok(text),
    }
}

pub(super) fn certificates(
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
