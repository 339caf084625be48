//! Serving a certificate and following its files, without dropping a connection.

use std::{fs, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;

use super::{Config, TlsError, files};

/// A certificate that follows its files. New connections get the newest pair that fits together; open ones keep
/// theirs.
#[derive(Debug)]
pub struct ReloadingCertificate {
    config: Config,
    served: Arc<Served>,
    server_config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Served {
    key: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}

/// Reads the certificate and the key, and checks that they belong together. Blocks.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn load(config: &Config) -> Result<Arc<ReloadingCertificate>, TlsError> {
    let pair = Pair::read(config)?;
    let served = Arc::new(Served { key: ArcSwap::from_pointee(pair.certified_key(config)?) });
    let generate = |error: rustls::Error| TlsError::Generate(error.to_string());
    let mut server_config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(generate)?
        .with_no_client_auth()
        .with_cert_resolver(served.clone());
    server_config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server_config.ticketer = aws_lc_rs::Ticketer::new().map_err(generate)?;
    Ok(Arc::new(ReloadingCertificate {
        config: config.clone(),
        served,
        server_config: Arc::new(server_config),
    }))
}

impl ReloadingCertificate {
    /// The configuration for a connection. It stays the same; what it serves follows the files.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server_config.clone()
    }

    /// Follows the files until `shutdown`.
    ///
    /// A pair that cannot be read or does not fit together is logged once, and the one before is served on: the
    /// two files are written one after the other.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        let mut seen = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.config.poll_interval) => {}
            }
            let this = self.clone();
            let last = seen.clone();
            if let Ok(now) = tokio::task::spawn_blocking(move || this.follow(last)).await {
                seen = now;
            }
        }
    }

    /// Serves the files if they are others than `last`; returns what they hold now.
    fn follow(&self, last: Option<Result<Pair, String>>) -> Option<Result<Pair, String>> {
        let now = Pair::read(&self.config).map_err(|error| describe(&error));
        if last.as_ref() == Some(&now) {
            return last;
        }
        match now
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|pair| pair.certified_key(&self.config).map_err(|error| describe(&error)))
        {
            Ok(key) => {
                if key.cert != self.served.key.load().cert {
                    tracing::info!(certificate = %self.config.certificate.display(), "serving a new certificate");
                    self.served.key.store(Arc::new(key));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the certificate files cannot be used; the one before is served on")
            }
        }
        Some(now)
    }
}

fn describe(error: &TlsError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The contents of the two files.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
}

impl Pair {
    fn read(config: &Config) -> Result<Self, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|source| files::error("read", path, source));
        Ok(Self { certificate: read(&config.certificate)?, private_key: read(&config.private_key)? })
    }

    fn certified_key(&self, config: &Config) -> Result<CertifiedKey, TlsError> {
        let no_certificate = || TlsError::NoCertificate { path: config.certificate.clone() };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| no_certificate())?;
        if chain.is_empty() {
            return Err(no_certificate());
        }
        let key = PrivateKeyDer::from_pem_slice(&self.private_key)
            .map_err(|_| TlsError::NoPrivateKey { path: config.private_key.clone() })?;
        let key = aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|_| TlsError::UnsupportedKey { path: config.private_key.clone() })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Keys whose public half the provider cannot tell are let through, as rustls does.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
                certificate: config.certificate.clone(),
                private_key: config.private_key.clone(),
            }),
            Err(_) => Err(TlsError::Malformed { path: config.certificate.clone() }),
        }
    }
}
