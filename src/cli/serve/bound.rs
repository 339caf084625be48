//! The addresses: the one that clients use, and that of the metrics.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, server};

/// The socket that was handed over, or one of our own.
pub(super) async fn listener(
    config: &Config,
    inherited: Option<std::net::TcpListener>,
) -> anyhow::Result<TcpListener> {
    if let Some(inherited) = inherited {
        inherited.set_nonblocking(true)?;
        return Ok(TcpListener::from_std(inherited)?);
    }
    TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "cannot listen on {}; is another server running there? To use another port: --listen 127.0.0.1:5001",
            config.listen
        )
    })
}

/// Serves the metrics on their own address, if they have one, and how the server is.
pub(super) async fn metrics(
    config: &Config,
    metrics: prometheus_client::registry::Registry,
    health: Router,
    ended: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(address) = config.metrics_listen else { return Ok(()) };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (metrics.listen)"))?;
    let routes = server::metrics::router(Arc::new(metrics)).merge(health);
    tokio::spawn(server::serve(listener, None, routes, config.server.clone(), ended.clone()));
    Ok(())
}

/// Whole or not at all: whoever waits for the file reads it at once.
#[expect(clippy::disallowed_methods, reason = "a file for whoever started us, not on the image volume")]
pub(super) fn write_address(path: &Path, address: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, address)
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
