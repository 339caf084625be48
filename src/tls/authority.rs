//! The private certificate authority: makes itself, and signs server certificates that every client accepts.
//!
//! What clients need of a certificate: one subject alternative name a host and address, CA:FALSE on the leaf
//! (webpki refuses a CA as a server), `serverAuth`, ECDSA P-256, a positive serial number of at most
//! 20 octets, a start slightly in the past for clocks that are behind, and at most 825 days (Apple).

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType, SerialNumber,
};
use rustls::pki_types::PrivateKeyDer;
use time::{Duration, OffsetDateTime};

use super::identity::{parse_certificates, parse_private_key};
use super::{SubjectName, TlsError, facts};

/// How long a server certificate lives unless told otherwise, in days.
pub const DEFAULT_SERVER_DAYS: u32 = 397;
/// The longest life of a server certificate that all clients accept, in days (macOS and iOS).
pub const MAXIMUM_SERVER_DAYS: u32 = 825;
/// Ten years with their leap days.
const AUTHORITY_LIFE: Duration = Duration::days(3652);
const CLOCK_SKEW: Duration = Duration::hours(1);
/// X.520 allows no longer common name.
const MAXIMUM_COMMON_NAME: usize = 64;

/// A new ECDSA P-256 private key as PKCS #8 PEM.
pub(super) fn generate_key() -> Result<String, TlsError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem())
}

/// A self-signed authority certificate for `key_pem`: CA:TRUE, path length 0, ten years.
///
/// Its subject depends only on the key, so two processes that start with one key make interchangeable
/// certificates.
pub(super) fn self_sign(key_pem: &[u8], key_path: &Path) -> Result<String, TlsError> {
    let key = key_pair(key_pem, key_path)?;
    let mut params = CertificateParams::default();
    let identifier = facts::sha256_hex(&key.subject_public_key_info());
    params.distinguished_name = common_name(&format!("Pakhuis private CA {}", &identifier[..8]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(random_serial()?);
    params.not_before = OffsetDateTime::now_utc() - CLOCK_SKEW;
    params.not_after = params.not_before + AUTHORITY_LIFE;
    Ok(params.self_signed(&key)?.pem())
}

/// An authority that can sign: its certificate and the key that belongs to it.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    not_after: OffsetDateTime,
}

impl Authority {
    /// Checks that the certificate is a certificate authority's, in force, and that the key is its key.
    pub(super) fn from_pem(
        (certificate_path, certificate_pem): (&Path, &[u8]),
        (key_path, key_pem): (&Path, &[u8]),
    ) -> Result<Self, TlsError> {
        let certificate = parse_certificates(certificate_path, certificate_pem)?.swap_remove(0);
        let key = key_pair(key_pem, key_path)?;
        let facts = facts::from_der(certificate_path, &certificate)?;
        if !facts.is_ca {
            return Err(TlsError::NotAnAuthority { path: certificate_path.to_owned() });
        }
        if facts.public_key_info != key.subject_public_key_info() {
            return Err(TlsError::KeyMismatch {
                certificate: certificate_path.to_owned(),
                private_key: key_path.to_owned(),
            });
        }
        if facts.not_after <= OffsetDateTime::now_utc() {
            return Err(TlsError::AuthorityExpired {
                path: certificate_path.to_owned(),
                not_after: facts.not_after,
            });
        }
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&certificate, key)?,
            certificate_pem: facts::certificate_sections(&String::from_utf8_lossy(certificate_pem)),
            not_after: facts.not_after,
        })
    }

    /// Signs a server certificate for the public half of `key_pem`; returns leaf and authority as one chain.
    ///
    /// It never outlives the authority, because a chain ends with its shortest link.
    pub(super) fn sign_server(
        &self,
        names: &[SubjectName],
        days: u32,
        key_pem: &[u8],
        key_path: &Path,
    ) -> Result<String, TlsError> {
        if !(1..=MAXIMUM_SERVER_DAYS).contains(&days) {
            return Err(TlsError::Days { days });
        }
        let key = key_pair(key_pem, key_path)?;
        let first = names.first().ok_or(TlsError::NoNames)?.to_string();
        let mut params = CertificateParams::default();
        params.distinguished_name =
            common_name(if first.len() <= MAXIMUM_COMMON_NAME { &first } else { "pakhuis" });
        params.subject_alt_names = names.iter().map(alternative_name).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(random_serial()?);
        params.not_before = OffsetDateTime::now_utc() - CLOCK_SKEW;
        params.not_after = self.not_after.min(params.not_before + Duration::days(days.into()));
        let leaf = params.signed_by(&key, &self.issuer)?.pem();
        Ok(format!("{}\n{}", leaf.trim_end(), self.certificate_pem))
    }
}

fn alternative_name(name: &SubjectName) -> Result<SanType, TlsError> {
    Ok(match name {
        SubjectName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        SubjectName::Ip(address) => SanType::IpAddress(*address),
    })
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// 16 random octets, the first between 0x40 and 0x7f: positive, never zero, never padded.
///
/// Random and not derived from the key: the same issuer and serial on two certificates is an error in Firefox.
fn random_serial() -> Result<SerialNumber, TlsError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(TlsError::Random)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn key_pair(pem: &[u8], path: &Path) -> Result<KeyPair, TlsError> {
    let key: PrivateKeyDer<'static> = parse_private_key(path, pem)?;
    // rcgen's own error is dropped: only the path may leave.
    KeyPair::try_from(&key).map_err(|_| TlsError::InvalidPrivateKey { path: path.to_owned() })
}
