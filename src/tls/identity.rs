//! A server's certificate chain and private key, checked to belong together.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::{CertificateFacts, TlsError, facts, pem_file};

/// A certificate chain (leaf first) with the private key of the leaf, ready for rustls.
#[derive(Clone)]
pub struct ServerIdentity {
    pub(super) certified_key: Arc<CertifiedKey>,
    facts: CertificateFacts,
}

impl ServerIdentity {
    /// Reads both files. Blocks, up to 200 ms longer if they do not match: a renewal that is under way renames
    /// one file after the other.
    ///
    /// # Errors
    /// [`TlsError`] naming the file and what is wrong with it, [`TlsError::KeyMismatch`] among them.
    pub fn read(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        for _ in 0..4 {
            match Self::read_once(certificate, private_key) {
                Err(TlsError::KeyMismatch { .. }) => thread::sleep(Duration::from_millis(50)),
                settled => return settled,
            }
        }
        Self::read_once(certificate, private_key)
    }

    fn read_once(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        let certificate_pem = pem_file::read(certificate)?;
        let key_pem = pem_file::read(private_key)?;
        Self::from_pem((certificate, &certificate_pem), (private_key, &key_pem))
    }

    /// Parses PEM text; the paths are only named in errors.
    pub(super) fn from_pem(
        (certificate_path, certificate_pem): (&Path, &[u8]),
        (key_path, key_pem): (&Path, &[u8]),
    ) -> Result<Self, TlsError> {
        let chain = parse_certificates(certificate_path, certificate_pem)?;
        let facts = facts::from_der(certificate_path, &chain[0])?;
        let key = provider()
            .key_provider
            .load_private_key(parse_private_key(key_path, key_pem)?)
            .map_err(|_| TlsError::InvalidPrivateKey { path: key_path.to_owned() })?;
        let certified_key = CertifiedKey::new(chain, key);
        match certified_key.keys_match() {
            // A key that cannot say what its public half is gets the benefit of the doubt, as in rustls itself.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(TlsError::KeyMismatch {
                    certificate: certificate_path.to_owned(),
                    private_key: key_path.to_owned(),
                });
            }
            Err(error) => {
                let reason = error.to_string();
                return Err(TlsError::InvalidCertificate { path: certificate_path.to_owned(), reason });
            }
        }
        Ok(Self { certified_key: Arc::new(certified_key), facts })
    }

    /// What the leaf certificate says.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServerIdentity").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Whether a client that trusts only `authority` accepts the chain in `certificate` today, for the first name
/// that it carries: signature, dates, purpose and CA:FALSE as webpki checks them. `None` if it does, otherwise
/// why not. Blocks.
///
/// # Errors
/// [`TlsError`] if one of the files cannot be read or parsed.
pub fn issued_by(certificate: &Path, authority: &Path) -> Result<Option<String>, TlsError> {
    let chain = parse_certificates(certificate, &pem_file::read(certificate)?)?;
    let facts = facts::from_der(certificate, &chain[0])?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(parse_certificates(authority, &pem_file::read(authority)?)?);
    let name = match (facts.dns_names.first(), facts.ip_addresses.first()) {
        // A wildcard is tried with a label in its place.
        (Some(name), _) => ServerName::try_from(name.replacen('*', "any", 1)).ok(),
        (None, Some(address)) => Some(ServerName::from(*address)),
        (None, None) => None,
    };
    let Some(name) = name else {
        return Ok(Some("it carries no usable subject alternative name".to_owned()));
    };
    let verifier = match WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build() {
        Ok(verifier) => verifier,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let verdict = verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now());
    Ok(verdict.err().map(|error| error.to_string()))
}

/// The one cryptography provider of this program; never taken from a process-wide default: aws-lc, with ring's ciphers,
/// which take half the time on a processor that has VAES without AVX-512.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: ring::DEFAULT_CIPHER_SUITES.to_vec(),
        ..aws_lc_rs::default_provider()
    })
}

/// All certificates of a PEM text, at least one.
pub(super) fn parse_certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|_| {
        // The parser's own text could quote a line of a key that stands in the same file.
        TlsError::InvalidCertificate { path: path.to_owned(), reason: "damaged PEM".to_owned() }
    })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

/// The first private key of a PEM text: PKCS #8, SEC1 (`EC PRIVATE KEY`) or PKCS #1 (`RSA PRIVATE KEY`).
pub(super) fn parse_private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let path = path.to_owned();
    match PrivateKeyDer::pem_slice_iter(pem).next() {
        Some(Ok(key)) => Ok(key),
        // Either the PKCS #8 heading or the older `Proc-Type: 4,ENCRYPTED` line.
        _ if String::from_utf8_lossy(pem).contains("ENCRYPTED") => {
            Err(TlsError::EncryptedPrivateKey { path })
        }
        Some(Err(_)) => Err(TlsError::InvalidPrivateKey { path }),
        None => Err(TlsError::NoPrivateKey { path }),
    }
}
