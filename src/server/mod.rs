//! Listeners and life cycle: our own accept loop on hyper, rather than `axum::serve`, because a registry's
//! clients need timers, limits and a drain that `axum::serve` does not offer.
//!
//! * `connection` is the life of one connection: first byte, TLS handshake, HTTP/1.1 or HTTP/2.
//! * `stream` guards its bytes: stalled writes, slow headers, and the lingering close.
//! * `activity` knows whether a connection is in use, idle or stalled, which its socket does not show.
//! * `framing` refuses ambiguous HTTP/1.1 messages before hyper reads them.
//! * `middleware` is the tower stack every request passes.

mod activity;
mod connection;
mod framing;
mod gathered;
pub mod health;
mod limits;
pub mod metrics;
pub mod middleware;
mod open_files;
mod refusal;
mod request_body;
pub mod shutdown;
mod stream;
pub mod supervisor;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::{Concurrency, RemoteAddress},
    observability::traffic,
};

pub use limits::{Limits, Network, SharedLimits};
pub use open_files::raise_open_file_limit;

/// Gives the TLS configuration in force now; asked once a connection, so that a reload needs no restart.
pub type TlsSource = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// Limits and timers of the server. There is no limit on the whole of a request: an upload may take hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections served at once; further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the first to the last byte of an HTTP/1.1 request head.
    pub header_timeout: Duration,
    /// How long a connection may be idle between requests. Longer than any client's own limit (docker and
    /// containerd 30 s, podman and crane 90 s, BuildKit 120 s): the side that closes first can break a push.
    pub idle_timeout: Duration,
    /// A request body that brings no byte for this long fails.
    pub request_stall: Duration,
    /// A client that takes no byte of an answer for this long loses its connection; over HTTP/2, one that takes
    /// no byte of any answer, since a client may well pause one of several.
    pub response_stall: Duration,
    /// How long running requests may go on after the shutdown began.
    pub drain_deadline: Duration,
    /// How much of an unread request is read and thrown away after an early answer.
    pub linger: Linger,
    /// What can be changed while the server runs.
    pub limits: SharedLimits,
}

/// Bounds of a lingering close: without it the kernel answers unread data with a reset, which destroys the
/// status the client has not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linger {
    /// At most this many bytes.
    pub bytes: u64,
    /// At most this long.
    pub time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(180),
            request_stall: Duration::from_secs(60),
            response_stall: Duration::from_secs(120),
            drain_deadline: Duration::from_secs(60),
            linger: Linger { bytes: 256 << 20, time: Duration::from_secs(10) },
            limits: SharedLimits::default(),
        }
    }
}

/// The server could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The listener is not usable.
    #[error("the listening socket cannot be used")]
    Listener(#[source] io::Error),
}

/// Serves `app`, inside the [`middleware`] stack, until `shutdown` is cancelled; then takes no new connection,
/// closes those that were not used for a second, lets running requests finish up to [`Config::drain_deadline`], and
/// returns.
///
/// # Errors
/// [`ServerError::Listener`] when the socket has no address. Failing to accept a connection, and whatever goes
/// wrong on one, never ends the server.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsSource>,
    app: Router,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), ServerError> {
    let address = listener.local_addr().map_err(ServerError::Listener)?;
    tracing::info!(%address, tls = tls.is_some(), "listening");
    let abort = CancellationToken::new();
    let shared = Arc::new(connection::Shared::new(tls, middleware::stack(app, &config), config, shutdown));
    let connections = TaskTracker::new();

    accept_until_shutdown(&listener, &shared, &connections, &abort).await;

    drop(listener);
    connections.close();
    shared.changes.close();
    tracing::info!(connections = connections.len(), "shutting down: waiting for running requests");
    let all = async {
        connections.wait().await;
        shared.changes.wait().await;
    };
    if tokio::time::timeout(shared.config.drain_deadline, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain deadline reached: closing the rest");
        abort.cancel();
        connections.wait().await;
    }
    Ok(())
}

async fn accept_until_shutdown(
    listener: &TcpListener,
    shared: &Arc<connection::Shared>,
    connections: &TaskTracker,
    abort: &CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(shared.config.max_connections));
    let per_address = Concurrency::<IpAddr>::default();
    let mut back_off = BackOff::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => return,
            accepted = accept(listener, &slots) => accepted,
        };
        match accepted {
            Ok((tcp, peer, slot)) => {
                back_off = BackOff::default();
                let limits = shared.config.limits.get();
                let most = if limits.trusts(peer.ip()) { usize::MAX } else { limits.connections_per_address };
                let Some(share) = per_address.take(&RemoteAddress(peer.ip()).network(), most) else {
                    traffic().refused_connection();
                    continue;
                };
                let (shared, abort) = (Arc::clone(shared), abort.clone());
                connections.spawn(async move {
                    let _slots = (slot, share);
                    tokio::select! {
                        biased;
                        () = abort.cancelled() => {}
                        () = connection::run(tcp, peer, &shared) => {}
                    }
                });
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                back_off.wait().await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (tcp, peer) = listener.accept().await?;
    // Answers are small and clients wait for each: never hold one back to fill a segment.
    tcp.set_nodelay(true)?;
    Ok((tcp, peer, slot))
}

/// The peer went away between the kernel's accept and ours; the listener is fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected | InvalidInput
    )
}

/// Out of file descriptors, `accept` fails at once and for ever: wait instead of spinning, 10 ms to 1 s.
struct BackOff(Duration);

impl Default for BackOff {
    fn default() -> Self {
        Self(Duration::from_millis(10))
    }
}

impl BackOff {
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(1));
    }
}
