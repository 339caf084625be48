//! `pakhuis serve`: the registry itself.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use axum::Router;
use clap::Args;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{first_look, first_steps, metrics, page_events, reload};
use crate::{
    api::{self, ApiState},
    auth::{Authenticator, Policy},
    config::{Certificates, Config, Flags},
    events,
    observability::{self, Followed, traffic},
    registry::Registry,
    server::{self, TlsSource, health},
    storage::Storage,
    tls,
    ui::{self, UiState},
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

/// The flags that serve and check-config share. Each has an environment variable: PAKHUIS_LISTEN, ...
#[derive(Clone, Debug, Args)]
pub(super) struct ServeSettings {
    /// Configuration file (environment: PAKHUIS_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on (PAKHUIS_LISTEN) [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Directory of the images (PAKHUIS_STORAGE) [default: pakhuis-data]
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
    /// The users (PAKHUIS_HTPASSWD) [default: pakhuis-htpasswd]
    #[arg(long, value_name = "FILE", conflicts_with = "no_auth")]
    htpasswd: Option<PathBuf>,
    /// Let everybody do everything without signing in (PAKHUIS_NO_AUTH)
    #[arg(long)]
    no_auth: bool,
    /// Certificate in PEM form (PAKHUIS_TLS_CERT) [default: made in certs]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PAKHUIS_TLS_KEY)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Speak plain HTTP (PAKHUIS_NO_TLS)
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    no_tls: bool,
    /// auto, text or json (PAKHUIS_LOG_FORMAT)
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ServeSettings {
    /// The configuration in force.
    pub(super) fn load(self) -> anyhow::Result<Config> {
        let flags = Flags {
            config: self.config,
            listen: self.listen,
            storage: self.storage,
            htpasswd: self.htpasswd,
            no_auth: self.no_auth,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            no_tls: self.no_tls,
            log_format: self.log_format,
        };
        Ok(Config::load(&flags, &|name| std::env::var(name).ok())?)
    }
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.settings.clone().load()?;
        observability::init(&config.log)?;
        if let Some(traces) = &config.traces {
            observability::traces::start(traces).context("traces cannot be sent")?;
        }
        // Before there are threads that could open something else.
        let inherited = server::supervisor::inherited_listener().context("the socket handed over")?;
        if let Some(limit) = server::raise_open_file_limit() {
            tracing::debug!(limit, "open files");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let served = runtime.block_on(serve(config, self.settings, inherited, self.address_file.as_deref()));
        observability::traces::flush(LAST_SPANS);
        observability::flush_audit(LAST_LINES);
        served?;
        // A call that hangs on the volume must not keep the process: what was acknowledged is on the volume.
        runtime.shutdown_background();
        Ok(ExitCode::SUCCESS)
    }
}

/// How long the last lines of the journal, and those of the audit log, are waited for at the end.
const LAST_LINES: Duration = Duration::from_secs(5);

/// How long the collector is waited for at the end.
const LAST_SPANS: Duration = Duration::from_secs(3);

async fn serve(
    config: Config,
    settings: ServeSettings,
    inherited: Option<std::net::TcpListener>,
    address_file: Option<&Path>,
) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    server::shutdown::cancel_on_signal(shutdown.clone())?;
    // The address first: a second server on it must not touch anything.
    let listener = listener(&config, inherited).await?;
    let address = listener.local_addr()?;
    let certificates = certificates(&config)?;
    let registry = registry(&config, &shutdown).await?;
    let authenticator = Authenticator::open(config.auth.clone())?;
    let policy = Policy::new(&config.auth);
    let running = reload::Running {
        settings,
        file: config.file.clone(),
        in_force: reload::by_name(&config),
        limits: config.server.limits.clone(),
        warning: config.api.warning.clone(),
        authenticator: authenticator.clone(),
        policy: policy.clone(),
        certificate: certificates.tls.clone(),
        events: config.events.clone(),
    };
    running.follow(shutdown.clone())?;
    follow_users(authenticator.clone(), shutdown.clone());
    let metrics = metrics::metrics(registry.clone(), authenticator.clone(), certificates.tls.clone());
    let health = health::router(readiness(registry.clone(), certificates.tls.clone()), shutdown.clone());
    // To the end of the drain: a monitor shall not take a server that is being replaced for one that is lost.
    let ended = CancellationToken::new();
    serve_metrics(&config, metrics, health.clone(), &ended).await?;
    let _ended = ended.drop_guard();
    let journal = tokio::spawn(registry.clone().keep_journal(shutdown.clone()));
    let access = (authenticator, policy);
    let events = config.events.as_ref().map(page_events::start).transpose()?;
    let application =
        application(&config, registry, access, &certificates, events.clone(), address.port(), health)?;
    let tls = certificates.tls.clone().map(|certificate| {
        let told = |taken| traffic().reloaded(Followed::Certificate, taken);
        tokio::spawn(certificate.clone().watch(shutdown.clone(), told));
        Arc::new(move || certificate.server_config()) as TlsSource
    });
    let supervised = supervise(&shutdown);
    first_steps::tell(&config, address, certificates.ca_certificate.as_deref());
    if let Some(path) = address_file {
        write_address(path, &address.to_string())?;
    }
    server::serve(listener, tls, application, config.server, shutdown).await?;
    // An idle server ends before it could be told.
    let _ = supervised.await;
    if let Some(events) = events {
        events.flush(LAST_LINES).await;
    }
    // Its last second; a volume that hangs does not keep the process.
    let _ = tokio::time::timeout(LAST_LINES, journal).await;
    Ok(())
}

/// The socket that was handed over, or one of our own.
async fn listener(config: &Config, inherited: Option<std::net::TcpListener>) -> anyhow::Result<TcpListener> {
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

/// Tells whoever started us that the server is ready, lives, and stops.
fn supervise(shutdown: &CancellationToken) -> tokio::task::JoinHandle<()> {
    server::supervisor::notify("READY=1");
    server::supervisor::keep_watchdog(shutdown.clone());
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        server::supervisor::notify("STOPPING=1");
    })
}

/// The registry over the volume, which is watched from now on.
async fn registry(config: &Config, shutdown: &CancellationToken) -> anyhow::Result<Registry> {
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
fn follow_users(authenticator: Authenticator, shutdown: CancellationToken) {
    let told = |taken| traffic().reloaded(Followed::Users, taken);
    tokio::spawn(async move { authenticator.watch(shutdown, told).await });
}

/// Serves the metrics on their own address, if they have one, and how the server is.
async fn serve_metrics(
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

/// The parts, put together.
fn application(
    config: &Config,
    registry: Registry,
    (authenticator, policy): (Authenticator, Policy),
    certificates: &ServedCertificates,
    events: Option<events::Events>,
    port: u16,
    health: Router,
) -> anyhow::Result<Router> {
    let api = api::router(ApiState {
        registry: registry.clone(),
        authenticator: authenticator.clone(),
        policy: policy.clone(),
        limits: Arc::new(config.api.clone()),
    });
    let api = match &events {
        None => api,
        Some(events) => api.layer(axum::middleware::from_fn_with_state(events.clone(), events::layer)),
    };
    let mut routes = api.merge(health);
    if config.ui_enabled {
        let mut ui = ui_config(config, certificates, port, session_key(&registry))?;
        ui.tell_deletion = events.map(page_events::teller);
        // Last: its fallback answers every path that nothing else does.
        routes = routes.merge(ui::router(UiState { registry, authenticator, policy, config: ui }));
    }
    Ok(routes)
}

/// Ready is a server whose volume can be written and whose certificate is one that clients accept.
fn readiness(registry: Registry, certificate: Option<Arc<tls::ReloadingCertificate>>) -> health::Readiness {
    Arc::new(move || {
        let (registry, certificate) = (registry.clone(), certificate.clone());
        Box::pin(async move {
            if let Some(not_after) = certificate.map(|certificate| certificate.facts().not_after)
                && not_after <= OffsetDateTime::now_utc()
            {
                return Err(format!("the certificate expired at {not_after}"));
            }
            registry.check_ready().await.map_err(|error| error.to_string())
        })
    })
}

/// The key that seals the cookies of the pages, shared by all servers of the volume. On a volume that cannot be
/// written and has none, sessions end with the process.
fn session_key(registry: &Registry) -> [u8; 32] {
    registry.shared_secret("session-key").unwrap_or_else(|error| {
        tracing::warn!(%error, "the key of the session cookies cannot be kept: sign-ins end when the server does");
        ui::Config::default().session_key
    })
}

fn ui_config(
    config: &Config,
    certificates: &ServedCertificates,
    port: u16,
    session_key: [u8; 32],
) -> anyhow::Result<ui::Config> {
    let ca_certificate = certificates.ca_certificate.clone().map(|path| {
        // One that was never there is a mistake; one that goes is what the page says.
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok(Arc::new(move || std::fs::read(&path).ok()) as ui::OfferedCertificate)
    });
    Ok(ui::Config {
        external_host: config.external_host.clone(),
        listen_port: port,
        ca_certificate: ca_certificate.transpose()?,
        session_key,
        secure: config.certificates != Certificates::Off,
        certificate_ends: certificates.tls.clone().map(|tls| {
            Arc::new(move || Some(SystemTime::from(tls.facts().not_after))) as ui::CertificateEnds
        }),
        tell_deletion: None,
    })
}

struct ServedCertificates {
    tls: Option<Arc<tls::ReloadingCertificate>>,
    ca_certificate: Option<PathBuf>,
}

/// Reads the certificate, or makes one on the first start. Blocks.
fn certificates(config: &Config) -> anyhow::Result<ServedCertificates> {
    let (certificate, private_key, made_ca) = match &config.certificates {
        Certificates::Off => {
            return Ok(ServedCertificates { tls: None, ca_certificate: config.ca_certificate.clone() });
        }
        Certificates::Files { certificate, private_key } => (certificate.clone(), private_key.clone(), None),
        Certificates::Made { directory } => {
            let mut names = tls::default_names();
            let external = config.external_name().filter(|name| !names.iter().any(|known| known == name));
            names.extend(external.map(str::to_owned));
            let files = tls::first_start(directory, &names)?.files;
            (files.certificate, files.private_key, Some(files.ca_certificate))
        }
    };
    let tls = tls::load(&tls::Config {
        certificate,
        private_key,
        poll_interval: config.certificate_poll_interval,
    })?;
    Ok(ServedCertificates {
        tls: Some(Arc::new(tls)),
        ca_certificate: config.ca_certificate.clone().or(made_ca),
    })
}

/// Whole or not at all: whoever waits for the file reads it at once.
#[expect(clippy::disallowed_methods, reason = "a file for whoever started us, not on the image volume")]
fn write_address(path: &Path, address: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, address)
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
