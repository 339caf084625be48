//! `pakhuis serve`: the registry itself. What it listens on ([`bound`]), what it serves ([`application`],
//! [`certificates`]), what it follows meanwhile ([`watchers`], [`reload`]) and what it still does when it is asked to
//! stop ([`last_work`]).

mod application;
mod bound;
mod certificates;
mod first_look;
mod first_steps;
mod last_work;
mod metrics;
mod page_events;
mod reload;
mod settings;
mod watchers;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

pub(super) use self::settings::ServeSettings;
use crate::{
    auth::{Authenticator, Policy},
    config::{Certificates, Config},
    observability,
    server::{self, health},
};

/// Serve the registry
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pakhuis serve\n  pakhuis serve --config /etc/pakhuis/pakhuis.toml --listen 0.0.0.0:5000"
)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: ServeSettings,
    /// Write the address that is listened on to this file, once it is
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.settings.clone().load()?;
        observability::init(&config.log)?;
        if let Some(traces) = &config.traces {
            observability::traces::start(traces, config.certificates != Certificates::Off)
                .context("traces cannot be sent")?;
        }
        // Before there are threads that could open something else.
        let inherited = server::supervisor::inherited_listener().context("the socket handed over")?;
        if let Some(limit) = server::raise_open_file_limit() {
            tracing::debug!(limit, "open files");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let served = runtime.block_on(serve(config, self.settings, inherited, self.address_file.as_deref()));
        last_work::flush();
        served?;
        // A call that hangs on the volume must not keep the process: what was acknowledged is on the volume.
        runtime.shutdown_background();
        Ok(ExitCode::SUCCESS)
    }
}

async fn serve(
    config: Config,
    settings: ServeSettings,
    inherited: Option<std::net::TcpListener>,
    address_file: Option<&Path>,
) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    server::shutdown::cancel_on_signal(shutdown.clone())?;
    // The address first: a second server on it must not touch anything.
    let listener = bound::listener(&config, inherited).await?;
    let address = listener.local_addr()?;
    let certificates = certificates::certificates(&config)?;
    let registry = watchers::registry(&config, &shutdown).await?;
    let authenticator = Authenticator::open(config.auth.clone())?;
    let policy = Policy::new(&config.auth);
    reload::Running::new(settings, &config, &authenticator, &policy, certificates.tls.clone())
        .follow(shutdown.clone())?;
    watchers::users(authenticator.clone(), shutdown.clone());
    let metrics = metrics::metrics(registry.clone(), authenticator.clone(), certificates.tls.clone());
    let readiness = application::readiness(registry.clone(), certificates.tls.clone());
    let health = health::router(readiness, shutdown.clone());
    // To the end of the drain: a monitor shall not take a server that is being replaced for one that is lost.
    let ended = CancellationToken::new();
    bound::metrics(&config, metrics, health.clone(), &ended).await?;
    let _ended = ended.drop_guard();
    let journal = tokio::spawn(registry.clone().keep_journal(shutdown.clone()));
    let events = config.events.as_ref().map(page_events::start).transpose()?;
    let access = (authenticator, policy);
    let routes = application::application(
        &config,
        registry,
        access,
        &certificates,
        events.clone(),
        address.port(),
        health,
    )?;
    let tls =
        certificates.tls.clone().map(|certificate| watchers::certificate(certificate, shutdown.clone()));
    let supervised = watchers::supervise(&shutdown);
    first_steps::tell(&config, address, certificates.ca_certificate.as_deref());
    if let Some(path) = address_file {
        bound::write_address(path, &address.to_string())?;
    }
    server::serve(listener, tls, routes, config.server, shutdown).await?;
    last_work::finish(supervised, events, journal).await;
    Ok(())
}
