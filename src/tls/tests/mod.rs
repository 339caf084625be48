//! Certificates as clients see them: every check that matters here is a handshake with a real rustls client.

mod authority;
mod directory;
mod facts;
mod identity;
mod reload;

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// A directory after its first start, for `registry.test`, `*.wild.test`, 127.0.0.1 and ::1.
fn started() -> (TempDir, CertificateDirectory) {
    let directory = tempfile::tempdir().unwrap();
    let names = names(&["registry.test", "*.wild.test", "127.0.0.1", "::1"]);
    let start = first_start(directory.path(), &names).unwrap();
    assert!(start.created);
    (directory, start.files)
}

fn renewal() -> Renewal {
    Renewal { names: names(&["registry.test"]), ..Renewal::default() }
}

fn config(files: &CertificateDirectory) -> Config {
    Config {
        certificate: files.certificate.clone(),
        private_key: files.private_key.clone(),
        poll_interval: std::time::Duration::from_millis(10),
    }
}

/// A client that trusts the certificates in `ca_pem` and no other.
fn client(ca_pem: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(super::identity::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

fn client_trusting(ca_certificate: &Path) -> Arc<ClientConfig> {
    client(&std::fs::read(ca_certificate).unwrap())
}

/// What a client saw of one connection.
#[derive(Debug)]
struct Seen {
    kind: HandshakeKind,
    alpn: Vec<u8>,
    chain_length: usize,
    version: rustls::ProtocolVersion,
}

/// Connects as `name`, reads the server's greeting (and with it the session tickets).
async fn connect(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> Result<Seen, std::io::Error> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serving = tokio::spawn(async move {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.write_all(b"hello").await?;
        stream.shutdown().await
    });
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = TlsConnector::from(client).connect(name, near).await?;
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).await?;
    assert_eq!(greeting, "hello");
    serving.await.unwrap()?;
    let (_, session) = stream.get_ref();
    Ok(Seen {
        kind: session.handshake_kind().unwrap(),
        alpn: session.alpn_protocol().unwrap_or_default().to_vec(),
        chain_length: session.peer_certificates().unwrap().len(),
        version: session.protocol_version().unwrap(),
    })
}
