//! Follows the configuration file while the server runs: by reading it every few seconds, and at once on SIGHUP, which
//! also has users and certificate read at once.
//!
//! What can be changed without a restart is; the rest is named. A file that cannot be used is refused whole, told
//! once, and what was in force stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::ServeSettings;
use crate::{
    api,
    auth::{Authenticator, Policy},
    config::Config,
    events,
    observability::{self, Followed, traffic},
    server::SharedLimits,
    tls,
};

const POLL: Duration = Duration::from_secs(5);

/// The settings that are changed in place.
const LIVE: [&str; 9] = [
    "log.level",
    "auth.access",
    "auth.admins",
    "registry.warning",
    "auth.max_requests_per_user",
    "server.max_connections_per_address",
    "server.max_requests_per_address",
    "server.request_min_rate",
    "server.trusted_proxies",
];

/// What is changed in place.
pub(super) struct Running {
    settings: ServeSettings,
    file: Option<PathBuf>,
    in_force: BTreeMap<&'static str, String>,
    limits: SharedLimits,
    warning: api::Warning,
    authenticator: Authenticator,
    policy: Policy,
    certificate: Option<Arc<tls::ReloadingCertificate>>,
    /// What was there at the start: not all of it is shown as text.
    events: Option<events::Config>,
}

/// The settings of a configuration by their names.
fn by_name(config: &Config) -> BTreeMap<&'static str, String> {
    config.settings.iter().map(|setting| (setting.key, setting.value.clone())).collect()
}

impl Running {
    /// Around what was started with this configuration.
    pub(super) fn new(
        settings: ServeSettings,
        config: &Config,
        authenticator: &Authenticator,
        policy: &Policy,
        certificate: Option<Arc<tls::ReloadingCertificate>>,
    ) -> Self {
        Self {
            settings,
            file: config.file.clone(),
            in_force: by_name(config),
            limits: config.server.limits.clone(),
            warning: config.api.warning.clone(),
            authenticator: authenticator.clone(),
            policy: policy.clone(),
            certificate,
            events: config.events.clone(),
        }
    }

    /// Follows the file until `shutdown`. SIGHUP must have a listener even where there is no file: it would end the
    /// process.
    ///
    /// # Errors
    /// When the signal cannot be listened for.
    pub(super) fn follow(mut self, shutdown: CancellationToken) -> std::io::Result<()> {
        let mut hang_up = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            let mut seen = self.text().await;
            loop {
                let asked = tokio::select! {
                    () = shutdown.cancelled() => return,
                    asked = next(&mut hang_up) => asked,
                };
                if asked {
                    self.authenticator.look_at_once();
                    if let Some(certificate) = &self.certificate {
                        certificate.look_at_once();
                    }
                }
                let text = self.text().await;
                if asked || text != seen {
                    self.reload().await;
                    seen = text;
                }
            }
        });
        Ok(())
    }

    /// What the file holds; a file that cannot be read is like one with a mistake, which loading it tells.
    async fn text(&self) -> Option<Vec<u8>> {
        let path = self.file.clone()?;
        tokio::task::spawn_blocking(move || std::fs::read(path).ok()).await.ok().flatten()
    }

    async fn reload(&mut self) {
        let settings = self.settings.clone();
        // It may be on the volume, and the volume may hang.
        let loading = tokio::task::spawn_blocking(move || settings.load());
        match loading.await.map_err(anyhow::Error::from).and_then(std::convert::identity) {
            Err(error) => {
                traffic().reloaded(Followed::Configuration, false);
                let error = format!("{error:#}");
                tracing::error!(error, "the changed configuration is refused; what was in force stays");
            }
            Ok(config) => self.take(&config),
        }
    }

    fn take(&mut self, config: &Config) {
        let new = by_name(config);
        let keys: BTreeSet<_> = new.keys().chain(self.in_force.keys()).copied().collect();
        let (live, restart): (Vec<&str>, Vec<&str>) = keys
            .into_iter()
            .filter(|key| {
                let hidden = *key == "events.target" && config.events != self.events;
                hidden || new.get(key) != self.in_force.get(key)
            })
            .partition(|key| LIVE.contains(key));
        if let Err(error) = observability::set_level(&config.log.level) {
            tracing::error!(%error, "the level of the log stays");
        }
        self.warning.set(config.api.warning.get().map(|text| text.to_string()));
        self.limits.set((*config.server.limits.get()).clone());
        self.policy.set(&config.auth);
        self.authenticator.set_max_requests_per_user(config.auth.max_requests_per_user);
        for key in &live {
            match new.get(key) {
                Some(value) => self.in_force.insert(key, value.clone()),
                None => self.in_force.remove(key),
            };
        }
        traffic().reloaded(Followed::Configuration, true);
        tracing::info!(changed = live.join(", "), "the configuration was read again");
        if !restart.is_empty() {
            tracing::warn!(settings = restart.join(", "), "changed settings that need a restart");
        }
    }
}

/// Whether SIGHUP asked, or only time has passed.
async fn next(hang_up: &mut Signal) -> bool {
    tokio::select! {
        _ = hang_up.recv() => true,
        () = tokio::time::sleep(POLL) => false,
    }
}
