//! What a certificate says, for people and for checks.

use std::{fmt::Write, net::IpAddr, path::Path};

use time::OffsetDateTime;
use x509_parser::{extensions::GeneralName, pem::Pem, prelude::X509Certificate};

use super::TlsError;
use crate::oci::{Algorithm, Digest};

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it names.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// The host names it is valid for.
    pub dns_names: Vec<String>,
    /// The addresses it is valid for.
    pub ip_addresses: Vec<IpAddr>,
    /// From when it is valid.
    pub not_before: OffsetDateTime,
    /// Until when it is valid.
    pub not_after: OffsetDateTime,
    /// SHA-256 over its DER form, as `AB:CD:...`.
    pub sha256_fingerprint: String,
    /// Whether it may sign others.
    pub is_ca: bool,
}

/// Reads the first certificate of a PEM text; `path` is for the error.
pub fn inspect(path: &Path, pem: &[u8]) -> Result<CertificateFacts, TlsError> {
    let missing = || TlsError::NoCertificate { path: path.to_path_buf() };
    let malformed = || TlsError::Malformed { path: path.to_path_buf() };
    let pem = Pem::iter_from_buffer(pem)
        .filter_map(Result::ok)
        .find(|pem| pem.label == "CERTIFICATE")
        .ok_or_else(missing)?;
    let certificate = pem.parse_x509().map_err(|_| malformed())?;
    let (dns_names, ip_addresses) = alternative_names(&certificate);
    Ok(CertificateFacts {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: certificate.raw_serial_as_string(),
        dns_names,
        ip_addresses,
        not_before: certificate.validity().not_before.to_datetime(),
        not_after: certificate.validity().not_after.to_datetime(),
        sha256_fingerprint: fingerprint(&pem.contents),
        is_ca: certificate.is_ca(),
    })
}

/// Whether the certificate is valid for a host, as clients judge: alternative names only, a wildcard for one label.
pub fn covers_name(facts: &CertificateFacts, host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return facts.ip_addresses.contains(&address);
    }
    facts.dns_names.iter().any(|name| {
        name.eq_ignore_ascii_case(host)
            || matches!((name.strip_prefix("*."), host.split_once('.')), (Some(domain), Some((_, rest))) if domain.eq_ignore_ascii_case(rest))
    })
}

fn alternative_names(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut dns_names, mut ip_addresses) = (Vec::new(), Vec::new());
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => ip_addresses.extend(address(bytes)),
                _ => {}
            }
        }
    }
    (dns_names, ip_addresses)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn fingerprint(der: &[u8]) -> String {
    let digest = Digest::of(Algorithm::Sha256, der);
    let mut text = String::new();
    for (index, pair) in digest.encoded().to_uppercase().as_bytes().chunks(2).enumerate() {
        let separator = if index == 0 { "" } else { ":" };
        let _ = write!(text, "{separator}{}", String::from_utf8_lossy(pair));
    }
    text
}
