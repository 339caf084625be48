//! What a certificate says, for people and for checks: names, dates, fingerprint.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::identity::parse_certificates;
use super::{SubjectName, TlsError, pem_file};
use crate::oci::{Algorithm, Digest};

/// What one certificate says of itself. Nothing in it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The distinguished name it is for, as `CN=...`.
    pub subject: String,
    /// The distinguished name of who signed it.
    pub issuer: String,
    /// DNS subject alternative names as written, wildcards among them.
    pub dns_names: Vec<String>,
    /// IP subject alternative names.
    pub ip_addresses: Vec<IpAddr>,
    /// The first second it is valid, UTC.
    pub not_before: OffsetDateTime,
    /// The last second it is valid, UTC.
    pub not_after: OffsetDateTime,
    /// SHA-256 over the DER form, as `AB:CD:...` (what browsers and `openssl x509 -fingerprint` show).
    pub sha256_fingerprint: String,
    /// The serial number, as `0a:bc:...`.
    pub serial: String,
    /// Whether it may sign other certificates (CA:TRUE).
    pub is_ca: bool,
    /// The DER form of the subject's public key info.
    pub(super) public_key_info: Vec<u8>,
}

/// Reads the first certificate in a PEM text (for a server's file: the leaf).
///
/// # Errors
/// [`TlsError::NoCertificate`] or [`TlsError::InvalidCertificate`], with the path `(PEM text)`.
pub fn inspect(pem: &[u8]) -> Result<CertificateFacts, TlsError> {
    inspect_named(Path::new("(PEM text)"), pem)
}

/// [`inspect`] for a file. Blocks.
///
/// # Errors
/// As [`inspect`], with the file's path; [`TlsError::Read`] if it cannot be read.
pub fn read_facts(path: &Path) -> Result<CertificateFacts, TlsError> {
    inspect_named(path, &pem_file::read(path)?)
}

/// The certificates of a PEM file and nothing else of it, ready to be handed out. Blocks.
///
/// For our own `ca.crt` this is the file byte for byte; a private key that someone pasted in stays behind.
///
/// # Errors
/// [`TlsError::Read`], [`TlsError::NoCertificate`] or [`TlsError::InvalidCertificate`].
pub fn read_public_certificates(path: &Path) -> Result<String, TlsError> {
    let pem = pem_file::read(path)?;
    inspect_named(path, &pem)?;
    Ok(certificate_sections(&String::from_utf8_lossy(&pem)))
}

/// Whether a client that connects to `host` (a name or an IP address, without a port) accepts the names in
/// the certificate. A wildcard stands for exactly one label (RFC 9525); the common name counts for nothing.
pub fn covers_name(facts: &CertificateFacts, host: &str) -> bool {
    match host.parse::<SubjectName>() {
        Ok(SubjectName::Ip(address)) => facts.ip_addresses.contains(&address),
        Ok(SubjectName::Dns(host)) => facts.dns_names.iter().any(|pattern| matches_dns(pattern, &host)),
        Err(_) => false,
    }
}

fn matches_dns(pattern: &str, host: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((label, rest))) => !label.is_empty() && parent.eq_ignore_ascii_case(rest),
        _ => false,
    }
}

fn inspect_named(path: &Path, pem: &[u8]) -> Result<CertificateFacts, TlsError> {
    let first = parse_certificates(path, pem)?.swap_remove(0);
    from_der(path, &first)
}

pub(super) fn from_der(path: &Path, der: &CertificateDer<'_>) -> Result<CertificateFacts, TlsError> {
    let refuse = |reason: String| TlsError::InvalidCertificate { path: path.to_owned(), reason };
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| refuse(error.to_string()))?;
    let names = certificate.subject_alternative_name().map_err(|error| refuse(error.to_string()))?;
    let mut dns_names = Vec::new();
    let mut ip_addresses = Vec::new();
    for name in names.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
            GeneralName::IPAddress(octets) => ip_addresses.extend(ip_address(octets)),
            _ => {}
        }
    }
    Ok(CertificateFacts {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        dns_names,
        ip_addresses,
        not_before: certificate.validity().not_before.to_datetime(),
        not_after: certificate.validity().not_after.to_datetime(),
        sha256_fingerprint: fingerprint(der),
        serial: certificate.raw_serial_as_string(),
        is_ca: certificate.is_ca(),
        public_key_info: certificate.public_key().raw.to_vec(),
    })
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))).ok()
}

fn fingerprint(der: &[u8]) -> String {
    let hex = sha256_hex(der).to_uppercase();
    let pairs: Vec<&str> = (0..hex.len()).step_by(2).map(|start| &hex[start..start + 2]).collect();
    pairs.join(":")
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).encoded().to_owned()
}

/// The `CERTIFICATE` sections of a PEM text, each line ended by a newline; everything between them is dropped.
pub(super) fn certificate_sections(pem: &str) -> String {
    let mut sections = String::new();
    let mut inside = false;
    for line in pem.lines().map(str::trim_end) {
        inside |= line == "-----BEGIN CERTIFICATE-----";
        if inside {
            sections.push_str(line);
            sections.push('\n');
        }
        inside &= line != "-----END CERTIFICATE-----";
    }
    sections
}
