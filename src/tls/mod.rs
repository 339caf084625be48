//! TLS: PEM files to a rustls `ServerConfig` that follows them, and a private authority that makes such files.
//!
//! - [`load`] reads a certificate chain and its key; [`ReloadingCertificate::watch`] follows the two files.
//! - [`first_start`] makes `ca.crt`, `ca.key`, `server.crt` and `server.key` where there are none;
//!   [`renew`] replaces the server's pair and keeps the authority, so no client has to change anything.
//! - [`inspect`] reads a certificate for people: names, dates, fingerprint.
//!
//! Everything here blocks on files (only `watch` is a task, and it reads on blocking threads). Private keys
//! are created with mode 0600 and appear in no error, log line or `Debug` output.

mod authority;
mod client;
mod directory;
mod error;
mod facts;
mod identity;
mod ourselves;
mod pem_file;
mod reload;
mod subject_name;

pub use client::client_config;
pub use directory::{CertificateDirectory, FirstStart, Renewal, first_start, renew};
pub use error::TlsError;
pub use facts::{CertificateFacts, covers_name, inspect, read_facts, read_public_certificates};
pub use identity::{ServerIdentity, issued_by};
pub use ourselves::connect_to_ourselves;
pub use reload::{Config, ReloadingCertificate, load};
pub use subject_name::{SubjectName, default_names};

pub use authority::{DEFAULT_SERVER_DAYS, MAXIMUM_SERVER_DAYS};

#[cfg(test)]
mod tests;
