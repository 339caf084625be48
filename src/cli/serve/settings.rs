//! The flags of a server, which other subcommands that need its configuration share.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, Flags};

/// The flags that serve and check-config share. Each has an environment variable: PAKHUIS_LISTEN, ...
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct ServeSettings {
    /// Configuration file (environment: PAKHUIS_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on (PAKHUIS_LISTEN) [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Directory of the images (PAKHUIS_STORAGE) [default: pakhuis-data]
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
    /// The users (PAKHUIS_HTPASSWD) [default: pakhuis-htpasswd]
    #[arg(long, value_name = "FILE", conflicts_with = "no_auth")]
    htpasswd: Option<PathBuf>,
    /// Let everybody do everything without signing in (PAKHUIS_NO_AUTH)
    #[arg(long)]
    no_auth: bool,
    /// Certificate in PEM form (PAKHUIS_TLS_CERT) [default: made in certs]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PAKHUIS_TLS_KEY)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Speak plain HTTP (PAKHUIS_NO_TLS)
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    no_tls: bool,
    /// auto, text or json (PAKHUIS_LOG_FORMAT)
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ServeSettings {
    /// The configuration in force.
    pub(in crate::cli) fn load(self) -> anyhow::Result<Config> {
        let flags = Flags {
            config: self.config,
            listen: self.listen,
            storage: self.storage,
            htpasswd: self.htpasswd,
            no_auth: self.no_auth,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            no_tls: self.no_tls,
            log_format: self.log_format,
        };
        Ok(Config::load(&flags, &|name| std::env::var(name).ok())?)
    }
}
