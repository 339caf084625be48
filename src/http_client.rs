//! The few words of HTTP that telling another service needs: one POST after the other to one address, over a connection
//! that is kept.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::tls;

/// What of an answer is read, so that the connection can be used again.
const MOST_OF_ANSWER: usize = 64 << 10;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("pakhuis/", env!("CARGO_PKG_VERSION")));

/// Who is told.
pub struct Client {
    /// `http` or `https`, without a user.
    url: Uri,
    /// The authority of an `https` address, in PEM; that of the system when there is none.
    ca_certificate: Option<PathBuf>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// Connects when there is something to send.
    pub fn new(url: Uri, ca_certificate: Option<PathBuf>) -> Self {
        Self { url, ca_certificate, connection: None }
    }

    /// Sends `body` with `headers` and those that every POST has; the answer, without its body where that is long.
    /// Whatever goes wrong, the next one has a new connection.
    ///
    /// # Errors
    /// When there is no connection, or no answer within `timeout`.
    pub async fn post(
        &mut self,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> io::Result<Response<Bytes>> {
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let sent = tokio::time::timeout(timeout, self.exchange(kept, headers, body)).await;
        let (answer, connection) =
            sent.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))??;
        self.connection = connection;
        Ok(answer)
    }

    async fn exchange(
        &self,
        kept: Option<SendRequest<Full<Bytes>>>,
        headers: HeaderMap,
        body: Bytes,
    ) -> io::Result<(Response<Bytes>, Option<SendRequest<Full<Bytes>>>)> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.ready().await.map_err(io::Error::other)?;
        let answer = connection.send_request(self.request(headers, body)?).await;
        let (head, body) = answer.map_err(io::Error::other)?.into_parts();
        let read = Limited::new(body, MOST_OF_ANSWER).collect().await;
        let connection = read.is_ok().then_some(connection);
        let body = read.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok((Response::from_parts(head, body), connection))
    }

    fn request(&self, headers: HeaderMap, body: Bytes) -> io::Result<Request<Full<Bytes>>> {
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let host = self.url.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::post(path).body(Full::new(body)).map_err(io::Error::other)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, HeaderValue::from_str(host).map_err(io::Error::other)?);
        request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
        Ok(request)
    }

    async fn connect(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        let secure = self.url.scheme_str() == Some("https");
        let host = self.url.host().unwrap_or_default();
        let port = self.url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        tcp.set_nodelay(true)?;
        if !secure {
            return start(tcp).await;
        }
        let config = tls::client_config(self.ca_certificate.as_deref()).map_err(io::Error::other)?;
        let name = host.to_owned().try_into().map_err(io::Error::other)?;
        start(TlsConnector::from(Arc::new(config)).connect(name, tcp).await?).await
    }
}

async fn start<S>(stream: S) -> io::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}
