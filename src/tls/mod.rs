//! Certificates: making a private CA and a server certificate, reading them, serving them, following their files.
//!
//! Two keys, since one self-signed certificate cannot be renewed without a visit to every host: hosts trust the
//! CA, which stays, and the server certificate below it is renewed at will. Knows nothing of HTTP.

mod authority;
mod facts;
mod files;
mod reload;

use std::{io, path::PathBuf, time::Duration};

pub use authority::{CertificateFiles, FirstStart, Issued, first_start, issue};
pub use facts::{CertificateFacts, covers_name, inspect};
pub use reload::{ReloadingCertificate, load};

/// Where the server's certificate is.
#[derive(Clone, Debug)]
pub struct Config {
    /// PEM: the server's certificate, then those between it and the CA.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub private_key: PathBuf,
    /// How often the files are looked at. Polled: notifications do not see what another NFS client writes.
    pub poll_interval: Duration,
}

/// What is wrong with a certificate or a key. Never carries key material.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum TlsError {
    #[error("cannot {operation} {}", .path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("{} has no certificate in PEM form", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} has no private key in PEM form (PKCS#8, SEC1 or PKCS#1)", .path.display())]
    NoPrivateKey { path: PathBuf },
    #[error("the certificate {} and the key {} do not belong together", .certificate.display(), .private_key.display())]
    Mismatch { certificate: PathBuf, private_key: PathBuf },
    #[error("the key {} is of a kind that is not supported", .path.display())]
    UnsupportedKey { path: PathBuf },
    #[error("{} cannot be read as an X.509 certificate", .path.display())]
    Malformed { path: PathBuf },
    #[error("{name:?} is neither a host name nor an IP address")]
    InvalidName { name: String },
    #[error("{} exists without {}; restore it, or make a new CA and hand it to every host", .present.display(), .missing.display())]
    HalfAuthority { present: PathBuf, missing: PathBuf },
    #[error("a certificate cannot be made: {0}")]
    Generate(String),
}

#[cfg(test)]
mod tests;
