//! What is served: the API, the pages and how the server is, put together over one registry.

use std::{sync::Arc, time::SystemTime};

use anyhow::Context;
use axum::Router;
use time::OffsetDateTime;

use super::{certificates::ServedCertificates, page_events};
use crate::{
    api::{self, ApiState},
    auth::{Authenticator, Policy},
    config::{Certificates, Config},
    events,
    registry::Registry,
    server::health,
    tls,
    ui::{self, UiState},
};

/// The parts, put together.
pub(super) fn application(
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
pub(super) fn readiness(
    registry: Registry,
    certificate: Option<Arc<tls::ReloadingCertificate>>,
) -> health::Readiness {
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
