//! The four files of a certificate directory: `ca.crt`, `ca.key`, `server.crt` (leaf, then CA), `server.key`.
//!
//! Each file follows from the one before it: the key decides its certificate. So on a first start every file
//! is published with a link that never replaces anything, and a process that loses a race goes on with the
//! winner's file: however many start at once, also from several machines on one share, one matching set
//! remains, and a start that was killed half way is completed by the next one.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::authority::{Authority, DEFAULT_SERVER_DAYS, generate_key, self_sign};
use super::pem_file::{self, Access, Staged};
use super::{ServerIdentity, SubjectName, TlsError};

/// Where the files of a certificate directory are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDirectory {
    /// `ca.crt`: the authority's certificate, for every client.
    pub ca_certificate: PathBuf,
    /// `ca.key`: the authority's private key; only needed to make server certificates.
    pub ca_key: PathBuf,
    /// `server.crt`: the server's certificate followed by the authority's.
    pub certificate: PathBuf,
    /// `server.key`: the server's private key.
    pub private_key: PathBuf,
}

impl CertificateDirectory {
    /// The paths below `directory`; touches nothing.
    pub fn at(directory: &Path) -> Self {
        Self {
            ca_certificate: directory.join("ca.crt"),
            ca_key: directory.join("ca.key"),
            certificate: directory.join("server.crt"),
            private_key: directory.join("server.key"),
        }
    }
}

/// What [`first_start`] found or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstStart {
    /// The four paths.
    pub files: CertificateDirectory,
    /// Whether this call made the server certificate.
    pub created: bool,
}

/// What [`renew`] is to make.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Host names and IP addresses for the server certificate, at least one.
    pub names: Vec<String>,
    /// Life of the server certificate in days, 1 to 825.
    pub days: u32,
    /// Replace an existing authority too. Every client must then get the new `ca.crt`.
    pub renew_authority: bool,
}

impl Default for Renewal {
    /// This host's own names ([`super::default_names`]), 397 days, the existing authority.
    fn default() -> Self {
        Self { names: super::default_names(), days: DEFAULT_SERVER_DAYS, renew_authority: false }
    }
}

/// Makes sure that `directory` holds a server certificate and its key, making what is absent: the directory,
/// the authority, the pair. What exists is never changed, whatever names it is for. Blocks.
///
/// # Errors
/// [`TlsError::Name`] or [`TlsError::NoNames`] for unusable names, [`TlsError::KeyMissing`] if a certificate
/// is there without its key, [`TlsError::KeyMismatch`], [`TlsError::Read`] or [`TlsError::Write`].
pub fn first_start(directory: &Path, names: &[String]) -> Result<FirstStart, TlsError> {
    let files = CertificateDirectory::at(directory);
    let mut created = false;
    if !(exists(&files.certificate)? && exists(&files.private_key)?) {
        let names = SubjectName::parse_all(names)?;
        fs::create_dir_all(directory).map_err(TlsError::write(directory))?;
        let (key, _) = ensure_key(&files.private_key, &files.certificate)?;
        let (_, authority) = ensure_authority(&files)?;
        let chain = authority.sign_server(&names, DEFAULT_SERVER_DAYS, &key, &files.private_key)?;
        created = Staged::write(&files.certificate, &chain, Access::Public)?.publish_new()?;
    }
    ServerIdentity::read(&files.certificate, &files.private_key)?;
    Ok(FirstStart { files, created })
}

/// Makes a new server key and certificate in `directory`, replacing the old ones; makes the authority if
/// there is none and keeps `ca.crt` byte for byte if there is. Blocks. Returns the files written, in the
/// order written.
///
/// A running server that follows the two files ([`super::ReloadingCertificate::watch`]) takes the new pair
/// over when both are in place.
///
/// # Errors
/// As [`first_start`]; [`TlsError::Days`], [`TlsError::AuthorityExpired`], [`TlsError::NotAnAuthority`], and
/// [`TlsError::Locked`] if another process is renewing in this directory.
pub fn renew(directory: &Path, renewal: &Renewal) -> Result<Vec<PathBuf>, TlsError> {
    let files = CertificateDirectory::at(directory);
    let names = SubjectName::parse_all(&renewal.names)?;
    fs::create_dir_all(directory).map_err(TlsError::write(directory))?;
    let _lock = lock(directory)?;
    let mut staged = Vec::new();
    let mut written = Vec::new();
    let authority = if renewal.renew_authority {
        let key = generate_key()?;
        let certificate = self_sign(key.as_bytes(), &files.ca_key)?;
        staged.push(Staged::write(&files.ca_key, &key, Access::OwnerOnly)?);
        staged.push(Staged::write(&files.ca_certificate, &certificate, Access::Public)?);
        written.extend([files.ca_key.clone(), files.ca_certificate.clone()]);
        Authority::from_pem((&files.ca_certificate, certificate.as_bytes()), (&files.ca_key, key.as_bytes()))?
    } else {
        let (made, authority) = ensure_authority(&files)?;
        written.extend(made);
        authority
    };
    let key = generate_key()?;
    let chain = authority.sign_server(&names, renewal.days, key.as_bytes(), &files.private_key)?;
    staged.push(Staged::write(&files.private_key, &key, Access::OwnerOnly)?);
    staged.push(Staged::write(&files.certificate, &chain, Access::Public)?);
    written.extend([files.private_key, files.certificate]);
    // Everything is on disk under hidden names: from here on there are only renames, one after the other.
    staged.into_iter().try_for_each(Staged::publish_over)?;
    pem_file::sync_directory(&directory.join("server.crt"))?;
    Ok(written)
}

/// The authority of the directory, made if absent, and the files this call made for it.
fn ensure_authority(files: &CertificateDirectory) -> Result<(Vec<PathBuf>, Authority), TlsError> {
    let mut made = Vec::new();
    let (key, made_key) = ensure_key(&files.ca_key, &files.ca_certificate)?;
    if made_key {
        made.push(files.ca_key.clone());
    }
    let certificate = match pem_file::read_if_present(&files.ca_certificate)? {
        Some(certificate) => certificate,
        None => {
            let certificate = self_sign(&key, &files.ca_key)?;
            if Staged::write(&files.ca_certificate, &certificate, Access::Public)?.publish_new()? {
                made.push(files.ca_certificate.clone());
            }
            pem_file::read(&files.ca_certificate)?
        }
    };
    let authority = Authority::from_pem((&files.ca_certificate, &certificate), (&files.ca_key, &key))?;
    Ok((made, authority))
}

/// The private key at `path`, made if absent, and whether this call made it.
///
/// A key is never made for a certificate that exists: its owner keeps the key elsewhere, or lost it.
fn ensure_key(path: &Path, certificate: &Path) -> Result<(Vec<u8>, bool), TlsError> {
    if let Some(key) = pem_file::read_if_present(path)? {
        return Ok((key, false));
    }
    if exists(certificate)? {
        // Another process publishes the key before the certificate: look again before believing it is gone.
        return match pem_file::read_if_present(path)? {
            Some(key) => Ok((key, false)),
            None => Err(TlsError::KeyMissing {
                certificate: certificate.to_owned(),
                private_key: path.to_owned(),
            }),
        };
    }
    let made = Staged::write(path, &generate_key()?, Access::OwnerOnly)?.publish_new()?;
    Ok((pem_file::read(path)?, made))
}

fn exists(path: &Path) -> Result<bool, TlsError> {
    path.try_exists().map_err(TlsError::read(path))
}

/// Held by a renewal until dropped; the file stays, because removing a lock file races with taking it.
fn lock(directory: &Path) -> Result<File, TlsError> {
    let path = directory.join(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(TlsError::write(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TlsError::Locked { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(TlsError::Write { path, source }),
    }
}
