//! The few words of HTTP that a webhook needs: one POST after the other over a connection that is kept.

use std::{fmt, io, path::Path, sync::Arc};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{Target, envelope::MEDIA_TYPE};
use crate::tls;

/// What of an answer is read, so that the connection can be used again.
const MOST_OF_ANSWER: usize = 64 << 10;

/// Why an event was not taken.
#[derive(Debug)]
pub(super) enum SendError {
    /// There is no connection, no answer, or one that says to come again.
    Unavailable(String),
    /// The target has read it and does not want it.
    Refused(http::StatusCode),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => f.write_str(why),
            Self::Refused(status) => write!(f, "the target answers {status}"),
        }
    }
}

fn unavailable(error: impl fmt::Display) -> SendError {
    SendError::Unavailable(error.to_string())
}

pub(super) struct Client {
    target: Target,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(super) fn new(target: Target) -> Self {
        Self { target, connection: None }
    }

    /// Sends one envelope; whatever goes wrong, the next one has a new connection.
    pub(super) async fn send(&mut self, body: &[u8]) -> Result<(), SendError> {
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let sent = tokio::time::timeout(self.target.timeout, self.exchange(kept, body)).await;
        let (status, connection) = sent.map_err(|_| unavailable("no answer in time"))??;
        self.connection = connection;
        match status {
            status if status.is_success() => Ok(()),
            // It has read the event and will never take it. Any other answer may be that of a proxy, a wrong secret or a
            // service that is being replaced: the same event may be welcome later.
            status if matches!(status.as_u16(), 400 | 413 | 415 | 422) => Err(SendError::Refused(status)),
            status => Err(unavailable(format!("the target answers {status}"))),
        }
    }

    async fn exchange(
        &self,
        kept: Option<SendRequest<Full<Bytes>>>,
        body: &[u8],
    ) -> Result<(http::StatusCode, Option<SendRequest<Full<Bytes>>>), SendError> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.ready().await.map_err(unavailable)?;
        let response = connection.send_request(self.request(body)?).await.map_err(unavailable)?;
        let status = response.status();
        let read = Limited::new(response.into_body(), MOST_OF_ANSWER).collect().await;
        Ok((status, read.is_ok().then_some(connection)))
    }

    fn request(&self, body: &[u8]) -> Result<Request<Full<Bytes>>, SendError> {
        let url = &self.target.url;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let host = url.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::post(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(header::USER_AGENT, concat!("pakhuis/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &self.target.secret_file {
            let secret = secret(file).map_err(|error| unavailable(format!("{}: {error}", file.display())))?;
            request = request.header("x-pakhuis-signature-256", signature(&secret, body)?);
        }
        request.body(Full::new(Bytes::copy_from_slice(body))).map_err(unavailable)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, SendError> {
        let url = &self.target.url;
        let secure = url.scheme_str() == Some("https");
        let host = url.host().unwrap_or_default();
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(unavailable)?;
        tcp.set_nodelay(true).map_err(unavailable)?;
        if !secure {
            return start(tcp).await;
        }
        let config = tls::client_config(self.target.ca_certificate.as_deref()).map_err(unavailable)?;
        let name = host.to_owned().try_into().map_err(unavailable)?;
        start(TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(unavailable)?).await
    }
}

async fn start<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(unavailable)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The first line of the file; an empty one signs nothing.
fn secret(file: &Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let text = zeroize::Zeroizing::new(std::fs::read(file)?);
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    if line.is_empty() {
        return Err(io::Error::other("the secret is empty"));
    }
    Ok(zeroize::Zeroizing::new(line.to_vec()))
}

/// HMAC-SHA256 over the body, written as GitHub's webhooks do, which many receivers can check.
fn signature(secret: &[u8], body: &[u8]) -> Result<HeaderValue, SendError> {
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(secret).map_err(unavailable)?;
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("sha256={hex}")).map_err(unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_receivers_know() {
        // The example of GitHub's documentation, "Validating webhook deliveries".
        let value = signature(b"It's a Secret to Everybody", b"Hello, World!").unwrap();
        assert_eq!(value, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    }

    #[test]
    fn an_empty_secret_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, b"\n").unwrap();
        assert!(secret(&file).is_err());
        std::fs::write(&file, b"hush \r\nand more").unwrap();
        assert_eq!(secret(&file).unwrap().as_slice(), b"hush");
    }
}
