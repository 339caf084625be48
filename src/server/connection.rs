//! The life of one connection: which protocol the first byte speaks, the TLS handshake, then HTTP.

use std::{
    convert::Infallible, error::Error as StdError, future::pending, io, net::SocketAddr,
    panic::resume_unwind, pin::pin, sync::Arc, time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Method, Request, Response, Version, header},
};
use futures_util::future::Either;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinError,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::{
    Config, Linger, TlsSource,
    activity::{ActiveBody, Activity},
    gathered::GatheredStream,
    stream::{GuardedStream, drain},
};
use crate::auth::TrustedPeer;

/// First byte of a TLS record that carries a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Bound of a request head in bytes: bearer tokens of several KiB and long Range headers are common.
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 128;

const HTTPS_PORT: &str = "this is an HTTPS port: use https://\n";
const HTTP_PORT: &str =
    "this is a plain HTTP port: use http:// (docker: list it under \"insecure-registries\")\n";

/// What all connections have in common.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) shutdown: CancellationToken,
    /// Requests that change something.
    pub(super) changes: TaskTracker,
    tls: Option<TlsSource>,
    app: Router,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Shared {
    pub(super) fn new(
        tls: Option<TlsSource>,
        app: Router,
        config: Config,
        shutdown: CancellationToken,
    ) -> Self {
        let changes = TaskTracker::new();
        Self { http1: http1_builder(&config), http2: http2_builder(), config, shutdown, changes, tls, app }
    }
}

fn http1_builder(config: &Config) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // hyper's timer runs from the moment a connection is idle, so it is the keep-alive limit; what bounds a
        // head that has begun is `GuardedStream`.
        .header_read_timeout(config.idle_timeout)
        // A client may close its sending side after the request and still wants the answer.
        .half_close(true)
        .max_header_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        // Bounds memory per connection: hyper grows its read buffer towards this under a fast upload.
        .max_buf_size(128 << 10);
    builder
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        // Fixed large windows: small ones made pushes of crane and oras minutes long. What a client sends ahead of the
        // volume is in memory, up to this for each connection.
        .adaptive_window(false)
        .initial_stream_window_size(2 << 20)
        .initial_connection_window_size(2 << 20)
        .max_frame_size(64 << 10)
        // Beyond this, REFUSED_STREAM kills uploads that a client cannot rewind.
        .max_concurrent_streams(256)
        .max_header_list_size(64 << 10)
        // Only to notice a peer that is gone.
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(60));
    builder
}

/// Serves one connection to its end. What goes wrong here is the client's or the network's: debug, not error.
pub(super) async fn run(tcp: TcpStream, peer: SocketAddr, shared: &Shared) {
    if let Err(error) = serve(tcp, peer, shared).await {
        tracing::debug!(%peer, error = error.as_ref() as &dyn StdError, "connection ended early");
    }
}

async fn serve(
    mut tcp: TcpStream,
    peer: SocketAddr,
    shared: &Shared,
) -> Result<(), Box<dyn StdError + Send + Sync>> {
    let wait =
        if shared.tls.is_some() { shared.config.handshake_timeout } else { shared.config.idle_timeout };
    let activity = Activity::new();
    let first = first_byte(&tcp, wait, activity.out_of_use(&shared.shutdown)).await?;
    let Some(first) = first else { return Ok(()) };
    match (&shared.tls, first == TLS_HANDSHAKE) {
        (None, false) => serve_http1(tcp, peer, shared, &activity).await.map_err(Into::into),
        (None, true) => Ok(refuse(&mut tcp, HTTP_PORT).await?),
        (Some(_), false) => Ok(refuse(&mut tcp, HTTPS_PORT).await?),
        (Some(tls), true) => {
            let acceptor = TlsAcceptor::from(tls());
            let handshake = acceptor.accept(tcp);
            let stream = tokio::time::timeout(shared.config.handshake_timeout, handshake).await??;
            activity.touch();
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let served = if http2 {
                Either::Left(serve_http2(stream, peer, shared, &activity))
            } else {
                Either::Right(serve_http1(stream, peer, shared, &activity))
            };
            served.await.map_err(Into::into)
        }
    }
}

/// The first byte the client sends, left in the socket; `None` when it closes or `end` comes first.
async fn first_byte(
    tcp: &TcpStream,
    limit: Duration,
    end: impl Future<Output = ()>,
) -> io::Result<Option<u8>> {
    let mut byte = [0];
    tokio::select! {
        () = end => Ok(None),
        peeked = tokio::time::timeout(limit, tcp.peek(&mut byte)) => match peeked? {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(byte[0])),
            Err(error) => Err(error),
        }
    }
}

/// Answers somebody who speaks the other protocol in words that end up in the client's error message.
async fn refuse(tcp: &mut TcpStream, text: &str) -> io::Result<()> {
    let length = text.len();
    let answer = format!(
        "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{text}"
    );
    tcp.write_all(answer.as_bytes()).await?;
    tcp.shutdown().await?;
    drain(tcp, Linger { bytes: 64 << 10, time: Duration::from_secs(2) }).await;
    Ok(())
}

async fn serve_http1<S>(
    stream: S,
    peer: SocketAddr,
    shared: &Shared,
    activity: &Arc<Activity>,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(GuardedStream::http1(stream, &shared.config));
    let mut connection = pin!(shared.http1.serve_connection(io, service(peer, shared, activity)));
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = activity.out_of_use(&shared.shutdown) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

async fn serve_http2<S>(
    stream: S,
    peer: SocketAddr,
    shared: &Shared,
    activity: &Arc<Activity>,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(GatheredStream::new(GuardedStream::http2(stream, &shared.config)));
    let mut connection = pin!(shared.http2.serve_connection(io, service(peer, shared, activity)));
    let Config { idle_timeout, response_stall, .. } = shared.config;
    let tick = (idle_timeout.min(response_stall) / 4).min(Duration::from_secs(10));
    let mut closing = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = shared.shutdown.cancelled(), if !closing => closing = true,
            () = tokio::time::sleep(tick) => {
                // Closing an idle connection is a conversation, and the client may not take part in it.
                let idle = activity.idle_for().unwrap_or_default();
                let stalled = activity.stalled_for().unwrap_or_default();
                if stalled > response_stall || idle > idle_timeout + response_stall {
                    return Ok(());
                }
                closing |= idle > idle_timeout;
            }
        }
        if closing {
            connection.as_mut().graceful_shutdown();
        }
    }
}

fn service(
    peer: SocketAddr,
    shared: &Shared,
    activity: &Arc<Activity>,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<ActiveBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<ActiveBody>, Infallible>> + Send + 'static,
> + Send
+ 'static {
    let app = shared.app.clone();
    // An IPv4 client on a dual-stack listener is the same client.
    let (peer, limits) = (peer.ip().to_canonical(), shared.config.limits.clone());
    let (activity, shutdown, changes) =
        (Arc::clone(activity), shared.shutdown.clone(), shared.changes.clone());
    hyper::service::service_fn(move |request: Request<Incoming>| {
        let running = activity.begin();
        let mut request = request.map(Body::new);
        let limits = limits.get();
        let remote = limits.client(peer, request.headers());
        request.extensions_mut().insert(remote);
        if limits.trusts(peer) {
            request.extensions_mut().insert(TrustedPeer);
        }
        let last = (request.version() < Version::HTTP_2).then(|| shutdown.clone());
        // What changes something is seen to its end when the client goes away in the middle: the volume is changed by
        // then, and the log, the audit and the events have to say so.
        let is_change = matches!(*request.method(), Method::PUT | Method::POST | Method::DELETE);
        let answer = app.clone().call(request);
        let answer = if is_change { Either::Left(changes.spawn(answer)) } else { Either::Right(answer) };
        async move {
            let answer = match answer {
                Either::Left(task) => match task.await.map_err(JoinError::try_into_panic) {
                    Ok(answer) => answer,
                    Err(Ok(panic)) => resume_unwind(panic),
                    // The process ends.
                    Err(Err(_)) => pending().await,
                },
                Either::Right(answer) => answer.await,
            };
            let mut answer = answer?.map(|body| ActiveBody::new(body, running));
            // The client is told before the connection closes, so that it sends no request that nobody reads.
            if last.is_some_and(|shutdown| shutdown.is_cancelled()) {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        }
    })
}
