//! What goes on beside the requests until the server is asked to stop: the volume, the users and the certificate are
//! followed, and whoever started us is told.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::first_look;
use crate::{
    auth::Authenticator,
    config::Config,
    observability::{Followed, traffic},
    registry::Registry,
    server::{self, TlsSource},
    storage::Storage,
    tls::ReloadingCertificate,
};

/// The registry over the volume, which is watched from now on.
pub(super) async fn registry(config: &Config, shutdown: &CancellationToken) -> anyhow::Result<Registry> {
    let storage = Storage::open(config.storage.clone())?;
    tracing::info!(directory = %storage.directory().display(), "serving the volume");
    first_look::tell(&config.storage, storage.directory()).await;
    let registry = Registry::new(storage, config.registry.clone());
    tokio::spawn(registry.clone().watch_volume(shutdown.clone()));
    if let Some(schedule) = config.verification {
        registry.verify_in_background(schedule, shutdown.clone())?;
    }
    Ok(registry)
}

/// Follows the htpasswd file.
pub(super) fn users(authenticator: Authenticator, shutdown: CancellationToken) {
    let told = |taken| traffic().reloaded(Followed::Users, taken);
    tokio::spawn(async move { authenticator.watch(shutdown, told).await });
}

/// Follows the certificate; what is asked for a new connection has the one in service.
pub(super) fn certificate(certificate: Arc<ReloadingCertificate>, shutdown: CancellationToken) -> TlsSource {
    let told = |taken| traffic().reloaded(Followed::Certificate, taken);
    tokio::spawn(certificate.clone().watch(shutdown, told));
    Arc::new(move || certificate.server_config())
}

/// Tells whoever started us that the server is ready, lives, and stops.
pub(super) fn supervise(shutdown: &CancellationToken) -> tokio::task::JoinHandle<()> {
    server::supervisor::notify("READY=1");
    server::supervisor::keep_watchdog(shutdown.clone());
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        server::supervisor::notify("STOPPING=1");
    })
}
