//! What can go wrong with certificates: always the file and the fault, never key material.

use std::io;
use std::path::PathBuf;

use time::OffsetDateTime;

/// A failure to read, make or use a certificate or private key.
///
/// Parser errors about private keys are dropped on purpose: some of them quote the line they failed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file, or its directory, could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than any certificate chain or key (1 MiB).
    #[error("{} is larger than 1 MiB: not a PEM certificate or key", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has no `BEGIN CERTIFICATE` section.
    #[error("{} holds no PEM certificate (no BEGIN CERTIFICATE section)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the file cannot be parsed.
    #[error("{} holds a certificate that cannot be read: {reason}", path.display())]
    InvalidCertificate {
        /// The file.
        path: PathBuf,
        /// What the parser says of it; certificates are public.
        reason: String,
    },
    /// The file has no private key section.
    #[error("{} holds no PEM private key", path.display())]
    NoPrivateKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key is protected by a pass phrase.
    #[error(
        "the private key in {} is protected by a pass phrase; write it without one: \
         openssl pkey -in encrypted.key -out plain.key",
        path.display()
    )]
    EncryptedPrivateKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key is damaged or of a kind that TLS cannot use here (RSA, ECDSA and Ed25519 can).
    #[error("the private key in {} is damaged or of an unsupported kind", path.display())]
    InvalidPrivateKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key does not belong to the certificate.
    #[error("the private key {} does not belong to the certificate {}", private_key.display(), certificate.display())]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        private_key: PathBuf,
    },
    /// A certificate is there but the private key it needs is not.
    #[error("{} exists but its private key {} does not", certificate.display(), private_key.display())]
    KeyMissing {
        /// The certificate file.
        certificate: PathBuf,
        /// The absent key file.
        private_key: PathBuf,
    },
    /// The certificate that should sign is no certificate authority.
    #[error("{} is not a certificate authority (CA:FALSE): it cannot sign a server certificate", path.display())]
    NotAnAuthority {
        /// The file.
        path: PathBuf,
    },
    /// The certificate authority has expired.
    #[error("the certificate authority {} expired on {}", path.display(), not_after.date())]
    AuthorityExpired {
        /// The file.
        path: PathBuf,
        /// When, in UTC.
        not_after: OffsetDateTime,
    },
    /// A name cannot stand in a certificate.
    #[error("{name:?} cannot be a name in a certificate: {reason}")]
    Name {
        /// The name as given.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A server certificate needs at least one name: clients no longer read the common name.
    #[error("a server certificate needs at least one host name or IP address")]
    NoNames,
    /// The life asked for is not between 1 and 825 days.
    #[error("a server certificate lives 1 to 825 days, not {days}")]
    Days {
        /// The days asked for.
        days: u32,
    },
    /// Another process is making certificates in this directory right now.
    #[error("another process is making certificates in {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The certificate or key could not be made.
    #[error("cannot make the certificate")]
    Generate(#[from] rcgen::Error),
    /// The operating system gave no random bytes for a serial number.
    #[error("the operating system gave no random bytes")]
    Random(#[source] getrandom::Error),
    /// rustls refused the configuration.
    #[error("cannot set up TLS")]
    Configuration(#[source] rustls::Error),
}

impl TlsError {
    pub(super) fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }

    pub(super) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source }
    }
}
