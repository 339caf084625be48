//! A running server, and clients as raw as the tests need them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::StatusCode,
    routing::{any, get, post, put},
};
use http_body_util::BodyExt;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use super::super::{Config, ServerError, TlsSource, serve};

pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    pub(super) shutdown: CancellationToken,
    pub(super) served: JoinHandle<Result<(), ServerError>>,
    pub(super) certificate: CertificateDer<'static>,
    /// How often `/change` came to its end.
    pub(super) changes: Arc<AtomicUsize>,
}

impl TestServer {
    pub(super) async fn plain(config: Config) -> Self {
        Self::start(config, false).await
    }

    pub(super) async fn tls(config: Config) -> Self {
        Self::start(config, true).await
    }

    async fn start(config: Config, with_tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (tls, certificate) = tls_source();
        let changes = Arc::new(AtomicUsize::new(0));
        let tls = with_tls.then_some(tls);
        let served = tokio::spawn(serve(listener, tls, app(&changes), config, shutdown.clone()));
        Self { address, shutdown, served, certificate, changes }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    pub(super) async fn connect_tls(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await.unwrap()
    }
}

/// A client that speaks HTTP/2 to `server`, and the URL of `path` there.
pub(super) fn http2_client(server: &TestServer, path: &str) -> (reqwest::Client, String) {
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_der(&server.certificate).unwrap()])
        .resolve("localhost", server.address)
        .no_proxy()
        .build()
        .unwrap();
    (client, format!("https://localhost:{}{path}", server.address.port()))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn tls_source() -> (TlsSource, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    (Arc::new(move || Arc::clone(&config)), certificate)
}

/// `/` says hello, `/reject` answers 401 without reading, `/count` reads the body, `/slow` takes a second,
/// `/endless` never stops answering, `/change` changes something in half a second.
fn app(changes: &Arc<AtomicUsize>) -> Router {
    let changes = Arc::clone(changes);
    let change = async move || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        changes.fetch_add(1, Ordering::Relaxed);
    };
    Router::new()
        .route("/change", put(change))
        .route("/", get(|| async { "hello" }))
        .route("/reject", any(|| async { (StatusCode::UNAUTHORIZED, "who are you?") }))
        .route("/count", post(count))
        .route("/slow", get(slow))
        .route("/panic", get(panics))
        .route("/remote", get(remote))
        .route("/endless", get(|| async { Body::from_stream(endless()) }))
}

async fn count(request: Request) -> (StatusCode, String) {
    match request.into_body().collect().await {
        Ok(body) => (StatusCode::OK, body.to_bytes().len().to_string()),
        Err(error) => (StatusCode::REQUEST_TIMEOUT, format!("{error:?}")),
    }
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(1)).await;
    "slow but sure"
}

async fn panics() -> &'static str {
    panic!("secret detail")
}

async fn remote(request: Request) -> String {
    let remote = request.extensions().get::<crate::auth::RemoteAddress>();
    remote.unwrap().0.to_string()
}

fn endless() -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> {
    futures_util::stream::repeat_with(|| Ok(bytes::Bytes::from_static(&[b'x'; 64 << 10])))
}

/// Sends `request` and reads to the end of the connection.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_all(stream).await
}

pub(super) async fn read_all<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    read.expect("the server closes").unwrap();
    String::from_utf8(answer).unwrap()
}

/// Sends a GET on a connection that stays open and returns the whole answer.
pub(super) async fn get_on<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_answer(stream).await
}

/// Reads one answer with a `Content-Length`.
pub(super) async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut answer = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        answer.push(byte[0]);
        if answer.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    head + std::str::from_utf8(&body).unwrap()
}
