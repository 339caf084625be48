//! TLS to other services: who answers must be known by an authority.

use std::path::Path;

use rustls::{ClientConfig, RootCertStore};

use super::{TlsError, identity, pem_file};

/// Where Debian and its like keep the authorities that the system knows.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A client that knows the authorities in the PEM file `authority`, or those of the system. Blocks.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub fn client_config(authority: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let path = authority.unwrap_or(Path::new(SYSTEM));
    let pem = pem_file::read(path)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(identity::parse_certificates(path, &pem)?);
    let config = ClientConfig::builder_with_provider(identity::provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Configuration)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
