//! A TLS connection of our own, that a test keeps, breaks, or fills with what no honest client would send.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use reqwest::header::HOST;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::server::TestServer;

/// The authorities that a client trusts.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Those in some PEM files; speaks HTTP/1.1.
    pub(crate) fn of(files: &[&Path]) -> Self {
        Self::speaking(files, &[])
    }

    /// The same, with protocols to offer (ALPN).
    pub(crate) fn speaking(files: &[&Path], protocols: &[&[u8]]) -> Self {
        let mut roots = RootCertStore::empty();
        for file in files {
            for certificate in CertificateDer::pem_file_iter(file).expect("a PEM file") {
                roots.add(certificate.expect("a certificate")).expect("the certificate of an authority");
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A resumed session is shown no certificate.
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Self(Arc::new(config))
    }

    /// Shakes hands with the server.
    pub(crate) async fn connect(&self, server: &TestServer) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(server.host_port()).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::clone(&self.0)).connect(name, tcp).await
    }
}

/// One connection of HTTP/1.1 that is used again and again, and never replaced by another.
pub(crate) struct Kept {
    sender: SendRequest<Empty<Bytes>>,
    certificate: Vec<u8>,
}

impl Kept {
    /// Opens it; the server must be trusted.
    pub(crate) async fn open(server: &TestServer, trust: &Trust) -> Self {
        Self::try_open(server, trust).await.expect("a connection")
    }

    /// Opens it if the server is trusted.
    pub(crate) async fn try_open(server: &TestServer, trust: &Trust) -> io::Result<Self> {
        let stream = trust.connect(server).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.expect("a server shows its certificate").to_vec();
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self { sender, certificate })
    }

    /// What the server showed when it was opened.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.certificate.clone()
    }

    /// The status of an answer, whose body is read to its end.
    pub(crate) async fn get(&mut self, path: &str) -> u16 {
        let request = http::Request::get(path).header(HOST, "localhost").body(Empty::new());
        let answer =
            self.sender.send_request(request.expect("a request")).await.expect("the connection is open");
        let status = answer.status().as_u16();
        answer.into_body().collect().await.expect("the whole answer");
        status
    }
}
