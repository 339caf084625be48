//! The private CA, and the server certificate it signs.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::{TlsError, files};

/// Life of a CA, in days.
const CA_DAYS: i64 = 3650;

/// Longest life of a server certificate, in days: what the strictest platforms accept.
const MAX_SERVER_DAYS: u32 = 825;

/// The four files of a directory of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The CA's certificate, for the hosts.
    pub ca_certificate: PathBuf,
    /// The CA's key; needed only to renew.
    pub ca_key: PathBuf,
    /// The server's certificate followed by the CA's.
    pub certificate: PathBuf,
    /// The server's key.
    pub private_key: PathBuf,
}

impl CertificateFiles {
    /// The files in `directory`.
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            ca_certificate: directory.join("ca.crt"),
            ca_key: directory.join("ca.key"),
            certificate: directory.join("server.crt"),
            private_key: directory.join("server.key"),
        }
    }
}

/// What [`issue`] made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Where.
    pub files: CertificateFiles,
    /// Whether the CA is new, so that hosts must be told.
    pub new_authority: bool,
}

/// What [`first_start`] found or made.
#[derive(Clone, Debug)]
pub struct FirstStart {
    /// Where.
    pub files: CertificateFiles,
    /// Whether they were made now.
    pub made: bool,
}

/// Makes a CA in `directory` if there is none, or if `renew_ca`, and a fresh server certificate for `names`.
///
/// # Errors
/// When a name is none, or a file cannot be read or written.
pub fn issue(directory: &Path, names: &[String], days: u32, renew_ca: bool) -> Result<Issued, TlsError> {
    let files = CertificateFiles::in_directory(directory);
    let server = server_parameters(names, days)?;
    let new_authority = ensure_authority(&files, renew_ca)?;
    write_server_certificate(&files, server)?;
    Ok(Issued { files, new_authority })
}

/// The certificates of `directory`, made when there are none.
///
/// # Errors
/// As [`issue`]. What is there is never replaced.
pub fn first_start(directory: &Path, names: &[String]) -> Result<FirstStart, TlsError> {
    let files = CertificateFiles::in_directory(directory);
    let made = !(files.certificate.exists() && files.private_key.exists());
    if made {
        issue(directory, names, 397, false)?;
    }
    Ok(FirstStart { files, made })
}

/// Makes the CA if there is none. The key is created first and once, so of two that start at the same time both
/// sign with the same key; the certificate is made from it by either.
fn ensure_authority(files: &CertificateFiles, renew: bool) -> Result<bool, TlsError> {
    let key = match files::read(&files.ca_key)? {
        Some(text) if !renew => text,
        None if !renew && files.ca_certificate.exists() => {
            return Err(TlsError::HalfAuthority {
                present: files.ca_certificate.clone(),
                missing: files.ca_key.clone(),
            });
        }
        _ => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(generate)?.serialize_pem();
            if renew {
                files::replace(&files.ca_key, &key, files::PRIVATE)?;
                key
            } else if files::create(&files.ca_key, &key, files::PRIVATE)? {
                key
            } else {
                files::read(&files.ca_key)?.unwrap_or_default()
            }
        }
    };
    if !renew && files.ca_certificate.exists() {
        return Ok(false);
    }
    let key = parse_key(&files.ca_key, &key)?;
    let certificate = authority_parameters()?.self_signed(&key).map_err(generate)?.pem();
    if renew {
        files::replace(&files.ca_certificate, &certificate, files::PUBLIC)?;
        Ok(true)
    } else {
        files::create(&files.ca_certificate, &certificate, files::PUBLIC)
    }
}

fn write_server_certificate(files: &CertificateFiles, parameters: CertificateParams) -> Result<(), TlsError> {
    let ca = files::read(&files.ca_certificate)?;
    let ca = ca.ok_or_else(|| TlsError::NoCertificate { path: files.ca_certificate.clone() })?;
    let ca_key = parse_key(&files.ca_key, &files::read(&files.ca_key)?.unwrap_or_default())?;
    let issuer = Issuer::from_ca_cert_pem(&ca, ca_key).map_err(generate)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(generate)?;
    let certificate = parameters.signed_by(&key, &issuer).map_err(generate)?;
    // The key first: a server that looks between the two finds a pair that does not match and keeps the old one.
    files::replace(&files.private_key, &key.serialize_pem(), files::PRIVATE)?;
    files::replace(&files.certificate, &format!("{}{ca}", certificate.pem()), files::PUBLIC)
}

fn authority_parameters() -> Result<CertificateParams, TlsError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "Pakhuis private CA");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut parameters, CA_DAYS);
    parameters.serial_number = Some(random_serial()?);
    Ok(parameters)
}

fn server_parameters(names: &[String], days: u32) -> Result<CertificateParams, TlsError> {
    let mut parameters = CertificateParams::default();
    let common_name = names.first().map_or("pakhuis", String::as_str);
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    parameters.subject_alt_names =
        names.iter().map(|name| alternative_name(name)).collect::<Result<_, _>>()?;
    set_life(&mut parameters, i64::from(days.min(MAX_SERVER_DAYS)));
    parameters.serial_number = Some(random_serial()?);
    Ok(parameters)
}

/// From an hour ago, for hosts whose clocks are behind.
fn set_life(parameters: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    parameters.not_before = now - Duration::hours(1);
    parameters.not_after = now + Duration::days(days);
}

/// 16 random bytes, positive and without leading zeros: clients refuse others.
fn random_serial() -> Result<SerialNumber, TlsError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| TlsError::Generate(error.to_string()))?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn alternative_name(name: &str) -> Result<SanType, TlsError> {
    let invalid = || TlsError::InvalidName { name: name.to_owned() };
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if name.len() > 253 || !name.strip_prefix("*.").unwrap_or(name).split('.').all(label) {
        return Err(invalid());
    }
    Ok(SanType::DnsName(name.try_into().map_err(|_| invalid())?))
}

fn parse_key(path: &Path, pem: &str) -> Result<KeyPair, TlsError> {
    KeyPair::from_pem(pem).map_err(|_| TlsError::NoPrivateKey { path: path.to_path_buf() })
}

fn generate(error: rcgen::Error) -> TlsError {
    TlsError::Generate(error.to_string())
}
