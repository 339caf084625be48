//! Follows a certificate and its key on disk without a restart.
//!
//! One `ServerConfig` lives as long as the process, so session tickets stay valid; only the pair behind its
//! certificate resolver is swapped, and only connections that start afterwards see it. The files are polled
//! by content: inotify does not see what another NFS client wrote, and a copied file may keep its old time.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{CertificateFacts, ServerIdentity, TlsError, facts, identity, pem_file};

/// Which files to serve, and how often to look at them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// PEM file with the server's certificate first and the rest of its chain behind it.
    pub certificate: PathBuf,
    /// PEM file with the private key of that certificate, without a pass phrase.
    pub private_key: PathBuf,
    /// How often the two files are read again. At least 1 ms; 2 s by default.
    pub poll_interval: Duration,
}

impl Default for Config {
    /// `certs/server.crt` and `certs/server.key`, every two seconds.
    fn default() -> Self {
        Self {
            certificate: PathBuf::from("certs/server.crt"),
            private_key: PathBuf::from("certs/server.key"),
            poll_interval: Duration::from_secs(2),
        }
    }
}

/// Reads the pair and prepares TLS 1.2 and 1.3 with `h2` and `http/1.1` and session tickets. Blocks.
///
/// # Errors
/// [`TlsError`] naming the file and what is wrong with it.
pub fn load(config: &Config) -> Result<ReloadingCertificate, TlsError> {
    let contents = Contents::read(config).ok();
    let identity = ServerIdentity::read(&config.certificate, &config.private_key)?;
    let current = Arc::new(CurrentIdentity(ArcSwap::from_pointee(identity)));
    let mut server_config = ServerConfig::builder_with_provider(identity::provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Configuration)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
    server_config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server_config.ticketer = Ticketer::new().map_err(TlsError::Configuration)?;
    Ok(ReloadingCertificate {
        config: config.clone(),
        current,
        server_config: Arc::new(server_config),
        last_look: Mutex::new(LastLook { accepted: contents.map(|contents| contents.mark()), refused: None }),
        at_once: Notify::new(),
    })
}

/// A certificate in service that can be exchanged while connections run.
#[derive(Debug)]
pub struct ReloadingCertificate {
    config: Config,
    current: Arc<CurrentIdentity>,
    server_config: Arc<ServerConfig>,
    last_look: Mutex<LastLook>,
    at_once: Notify,
}

/// What one look at the files came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Unchanged,
    Swapped,
    /// A new pair is unusable; it may be half written, so nothing is said before it is seen twice.
    Suspect,
    /// The same unusable pair a second time: to be reported, once.
    Refused(String),
}

impl ReloadingCertificate {
    /// The configuration for every new connection; the same one for the life of the process.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server_config)
    }

    /// What the certificate in service says.
    pub fn facts(&self) -> CertificateFacts {
        self.current.0.load().facts().clone()
    }

    /// Looks at the files now, as far as they are followed.
    pub fn look_at_once(&self) {
        self.at_once.notify_one();
    }

    /// Follows the files until `shutdown` is cancelled. Reads on blocking threads, never on this task.
    ///
    /// A pair that cannot be used leaves the old one in service and is logged once. `told` hears whether a new one was
    /// taken.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken, told: impl Fn(bool)) {
        let mut ticks = interval(self.config.poll_interval.max(Duration::from_millis(1)));
        // A share that hangs for a minute must not be followed by a burst of reads.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
                () = self.at_once.notified() => {}
            }
            let this = Arc::clone(&self);
            let look = spawn_blocking(move || this.look());
            // A read that hangs on a dead share must not hold up the shutdown either.
            tokio::select! {
                () = shutdown.cancelled() => return,
                look = look => if let Ok(look) = look {
                    self.report(&look);
                    match look {
                        Look::Swapped => told(true),
                        Look::Refused(_) => told(false),
                        Look::Unchanged | Look::Suspect => {}
                    }
                },
            }
        }
    }

    /// Reads the files once and swaps the pair if it is new and whole. Blocks.
    pub(super) fn look(&self) -> Look {
        // A poisoned lock only says that an earlier look panicked; its notes are still plain values.
        let mut last = self.last_look.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = Contents::read(&self.config);
        let mark = contents.as_ref().map(Contents::mark).unwrap_or_else(|error| format!("{error:?}"));
        if last.accepted.as_ref() == Some(&mark) {
            last.refused = None;
            return Look::Unchanged;
        }
        match contents.and_then(|contents| contents.identity(&self.config)) {
            Ok(identity) => {
                self.current.0.store(Arc::new(identity));
                *last = LastLook { accepted: Some(mark), refused: None };
                Look::Swapped
            }
            Err(error) => last.refuse(mark, &error),
        }
    }

    fn report(&self, look: &Look) {
        let certificate = self.config.certificate.display();
        match look {
            Look::Unchanged | Look::Suspect => {}
            Look::Swapped => {
                let facts = self.facts();
                let (fingerprint, not_after) = (&facts.sha256_fingerprint, facts.not_after);
                if not_after <= OffsetDateTime::now_utc() {
                    tracing::warn!(%certificate, %not_after, "the new certificate has expired already");
                }
                tracing::info!(%certificate, fingerprint, %not_after, "new certificate in service");
            }
            Look::Refused(error) => {
                tracing::warn!(%certificate, error, "new certificate refused, the old one stays in service");
            }
        }
    }
}

/// What the last looks found, as digests and error texts: no key stays in memory for comparing.
#[derive(Debug)]
struct LastLook {
    accepted: Option<String>,
    refused: Option<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    mark: String,
    reported: bool,
}

impl LastLook {
    fn refuse(&mut self, mark: String, error: &TlsError) -> Look {
        match &mut self.refused {
            Some(refusal) if refusal.mark == mark && refusal.reported => Look::Unchanged,
            Some(refusal) if refusal.mark == mark => {
                refusal.reported = true;
                Look::Refused(with_cause(error))
            }
            _ => {
                self.refused = Some(Refusal { mark, reported: false });
                Look::Suspect
            }
        }
    }
}

fn with_cause(error: &TlsError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Both files as read.
struct Contents {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
}

impl Contents {
    fn read(config: &Config) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: pem_file::read(&config.certificate)?,
            private_key: pem_file::read(&config.private_key)?,
        })
    }

    /// Equal for equal contents only.
    fn mark(&self) -> String {
        format!("{} {}", facts::sha256_hex(&self.certificate), facts::sha256_hex(&self.private_key))
    }

    fn identity(&self, config: &Config) -> Result<ServerIdentity, TlsError> {
        ServerIdentity::from_pem(
            (&config.certificate, &self.certificate),
            (&config.private_key, &self.private_key),
        )
    }
}

/// The pair for the next handshake.
struct CurrentIdentity(ArcSwap<ServerIdentity>);

impl ResolvesServerCert for CurrentIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified_key))
    }
}

impl fmt::Debug for CurrentIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.load().fmt(formatter)
    }
}
