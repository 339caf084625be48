//! Certificates as real clients judge them: every check is a rustls client's.
#![allow(clippy::disallowed_methods, reason = "the tests damage files on purpose")]

use std::{os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn config(files: &CertificateFiles) -> Config {
    Config {
        certificate: files.certificate.clone(),
        private_key: files.private_key.clone(),
        poll_interval: Duration::from_millis(20),
    }
}

fn facts(path: &std::path::Path) -> CertificateFacts {
    inspect(path, &std::fs::read(path).unwrap()).unwrap()
}

/// Connects to a server with `certificate` through an in-memory pipe; returns the client's side.
async fn connect(
    certificate: &ReloadingCertificate,
    ca: &[u8],
    name: &str,
) -> std::io::Result<TlsStream<tokio::io::DuplexStream>> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(ca) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let acceptor = TlsAcceptor::from(certificate.server_config());
    tokio::spawn(async move {
        let Ok(mut stream) = acceptor.accept(theirs).await else { return };
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() {
            let _ = stream.write_all(&byte).await;
        }
    });
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, ours).await
}

fn served(stream: &TlsStream<tokio::io::DuplexStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_client_with_the_ca_accepts_each_name_and_no_other() {
    let directory = TempDir::new().unwrap();
    let issued = issue(directory.path(), &names(&["registry.test", "127.0.0.1", "::1"]), 397, false).unwrap();
    let certificate = load(&config(&issued.files)).unwrap();
    let ca = std::fs::read(&issued.files.ca_certificate).unwrap();
    for name in ["registry.test", "127.0.0.1", "::1"] {
        connect(&certificate, &ca, name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(connect(&certificate, &ca, "other.test").await.is_err());
    let stranger = TempDir::new().unwrap();
    let stranger = issue(stranger.path(), &names(&["registry.test"]), 397, false).unwrap();
    let wrong_ca = std::fs::read(stranger.files.ca_certificate).unwrap();
    assert!(connect(&certificate, &wrong_ca, "registry.test").await.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_needs_no_change_on_any_host() {
    let directory = TempDir::new().unwrap();
    let first = issue(directory.path(), &names(&["registry.test"]), 397, false).unwrap();
    let ca = std::fs::read(&first.files.ca_certificate).unwrap();
    let old = std::fs::read(&first.files.certificate).unwrap();
    let second = issue(directory.path(), &names(&["registry.test"]), 397, false).unwrap();
    assert!(first.new_authority && !second.new_authority);
    assert_eq!(std::fs::read(&first.files.ca_certificate).unwrap(), ca);
    assert_ne!(std::fs::read(&first.files.certificate).unwrap(), old);
    let certificate = load(&config(&second.files)).unwrap();
    connect(&certificate, &ca, "registry.test").await.unwrap();
}

#[test]
fn the_server_certificate_is_no_ca_and_keys_are_private() {
    let directory = TempDir::new().unwrap();
    let files = issue(directory.path(), &names(&["registry.test", "10.0.0.1"]), 30, false).unwrap().files;
    let (ca, server) = (facts(&files.ca_certificate), facts(&files.certificate));
    assert!(ca.is_ca && !server.is_ca);
    assert_eq!(server.issuer, ca.subject);
    assert_eq!(server.dns_names, ["registry.test"]);
    assert!(
        covers_name(&server, "Registry.Test")
            && covers_name(&server, "10.0.0.1")
            && !covers_name(&server, "x.registry.test")
    );
    let days = (server.not_after - time::OffsetDateTime::now_utc()).whole_days();
    assert!((29..=30).contains(&days), "{days}");
    for key in [&files.ca_key, &files.private_key] {
        assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn first_starts_at_once_end_with_one_authority() {
    let directory = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| first_start(directory.path(), &names(&["registry.test"])).unwrap());
        }
    });
    let files = CertificateFiles::in_directory(directory.path());
    assert!(!first_start(directory.path(), &[]).unwrap().made);
    // Both files of the CA are of one key: what it signs now, a client with its certificate accepts.
    issue(directory.path(), &names(&["registry.test"]), 397, false).unwrap();
    let certificate = load(&config(&files)).unwrap();
    let ca = std::fs::read(files.ca_certificate).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(connect(&certificate, &ca, "registry.test")).unwrap();
}

#[test]
fn names_out_of_grammar_are_refused() {
    let directory = TempDir::new().unwrap();
    for name in ["", "a b", "a..b", "-\u{e9}", "a/b", &"a".repeat(64)] {
        let issued = issue(directory.path(), &names(&[name]), 1, false);
        assert!(matches!(issued, Err(TlsError::InvalidName { .. })), "{name:?}");
    }
    assert!(!directory.path().join("ca.key").exists(), "nothing was made");
}

#[test]
fn a_pair_that_does_not_match_is_refused() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = issue(one.path(), &names(&["a"]), 1, false).unwrap().files;
    let second = issue(two.path(), &names(&["a"]), 1, false).unwrap().files;
    let mixed = Config { private_key: second.private_key, ..config(&first) };
    assert!(matches!(load(&mixed), Err(TlsError::Mismatch { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_are_served_and_open_connections_stay() {
    let directory = TempDir::new().unwrap();
    let files = issue(directory.path(), &names(&["registry.test"]), 397, false).unwrap().files;
    let ca = std::fs::read(&files.ca_certificate).unwrap();
    let certificate = load(&config(&files)).unwrap();
    let shutdown = CancellationToken::new();
    let watch = tokio::spawn(certificate.clone().watch(shutdown.clone()));
    let mut open = connect(&certificate, &ca, "registry.test").await.unwrap();
    let old = served(&open);

    // A pair that does not match is not served.
    let key = std::fs::read(&files.private_key).unwrap();
    std::fs::write(&files.private_key, "nonsense").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(served(&connect(&certificate, &ca, "registry.test").await.unwrap()), old);
    std::fs::write(&files.private_key, key).unwrap();

    issue(directory.path(), &names(&["registry.test"]), 397, false).unwrap();
    let mut new = old.clone();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        new = served(&connect(&certificate, &ca, "registry.test").await.unwrap());
        if new != old {
            break;
        }
    }
    assert_ne!(new, old);
    open.write_all(b"x").await.unwrap();
    assert_eq!(open.read_u8().await.unwrap(), b'x');
    shutdown.cancel();
    watch.await.unwrap();
}
