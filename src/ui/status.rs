//! How the server is, for administrators.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Ui,
    display::{self, Moment},
    response::Failure,
    visitor::{Frame, Viewer},
};
use crate::registry::VolumeStatus;

/// A certificate that ends sooner is named in red.
const ENDS_SOON: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    frame: Frame,
    version: &'static str,
    started: Option<Moment>,
    uptime: String,
    volume: Volume,
    users: Option<usize>,
    /// `None` when the volume does not say.
    repositories: Option<usize>,
    certificate: Option<Certificate>,
    verification: Option<Verification>,
    damaged: Option<String>,
    troubles: Vec<String>,
    delete_enabled: bool,
}

struct Volume {
    state: &'static str,
    is_bad: bool,
    used: String,
    free: String,
    total: String,
    /// Part in use, 0 to 100.
    share: String,
    percent: String,
}

struct Certificate {
    ends: Option<Moment>,
    left: String,
    is_bad: bool,
}

struct Verification {
    completed: Option<Moment>,
    findings: Option<String>,
}

/// The page.
pub(super) async fn show(State(ui): State<Arc<Ui>>, viewer: Viewer) -> Response {
    viewer.answer(page(&ui, &viewer).await)
}

async fn page(ui: &Ui, viewer: &Viewer) -> Result<StatusPage, Failure> {
    viewer.require_admin(ui)?;
    let volume = ui.registry.volume_status();
    let counters = ui.registry.counters();
    let damaged = counters.damaged_found.load(Relaxed);
    // A volume that does not answer is what this page is looked at for.
    let (verification, catalogue) = tokio::join!(ui.registry.last_verification(), ui.registry.catalogue());
    let certificate_ends = ui.config.certificate_ends.as_ref().and_then(|ends| ends());
    Ok(StatusPage {
        frame: viewer.frame.clone(),
        version: env!("CARGO_PKG_VERSION"),
        started: Moment::of_system(ui.started),
        uptime: span(ui.started.elapsed().unwrap_or_default()),
        users: ui.authenticator.user_count(),
        repositories: catalogue.ok().map(|catalogue| catalogue.rows().len()),
        certificate: certificate_ends.map(Certificate::new),
        verification: verification.ok().flatten().map(|last| Verification {
            completed: Moment::of_milliseconds(last.completed.saturating_mul(1000)),
            findings: (last.findings > 0).then(|| display::counted(last.findings, "finding", "findings")),
        }),
        damaged: (damaged > 0).then(|| display::counted(damaged, "damaged blob was", "damaged blobs were")),
        troubles: troubles(&volume, counters.reads_cut.load(Relaxed)),
        delete_enabled: ui.registry.config().delete_enabled,
        volume: Volume::new(&volume),
    })
}

/// What went wrong since the start, and how often.
fn troubles(volume: &VolumeStatus, reads_cut: u64) -> Vec<String> {
    let calls = ("call", "calls");
    let troubles = [
        (volume.refused_hung, calls, "refused because the volume hung"),
        (volume.refused_full, ("upload", "uploads"), "refused because it was full"),
        (volume.timed_out, calls, "not answered in time"),
        (volume.out_of_space, calls, "failed for lack of room"),
        (volume.read_only, calls, "failed because it cannot be written"),
        (volume.failed, calls, "failed for another reason"),
        (reads_cut, ("answer", "answers"), "cut off because of damaged content"),
    ];
    let told = troubles.into_iter().filter(|(count, _, _)| *count > 0);
    told.map(|(count, (one, many), what)| format!("{} {what}", display::counted(count, one, many))).collect()
}

impl Certificate {
    fn new(ends: SystemTime) -> Self {
        let left = ends.duration_since(SystemTime::now()).ok();
        Self {
            ends: Moment::of_system(ends),
            left: left.map_or_else(|| "over".to_owned(), |left| format!("in {}", span(left))),
            is_bad: left.is_none_or(|left| left < ENDS_SOON),
        }
    }
}

impl Volume {
    fn new(status: &VolumeStatus) -> Self {
        let used = status.total_bytes.saturating_sub(status.free_bytes);
        let share = used as f64 * 100.0 / status.total_bytes.max(1) as f64;
        let (state, is_bad) = match status {
            status if status.hung => ("does not answer", true),
            status if status.full => ("full: uploads are refused", true),
            status if status.total_bytes == 0 => ("not asked yet", false),
            _ => ("answers", false),
        };
        Self {
            state,
            is_bad,
            used: display::size(used),
            free: display::size(status.free_bytes),
            total: display::size(status.total_bytes),
            share: format!("{share:.2}"),
            percent: format!("{share:.0}"),
        }
    }
}

/// A length of time, in its largest unit and the next.
fn span(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    let of = |count: u64, unit: &str| display::counted(count, unit, &format!("{unit}s"));
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => of(minutes, "minute"),
        (0, hours, minutes) => format!("{} {}", of(hours, "hour"), of(minutes, "minute")),
        (days, hours, _) if days < 10 => format!("{} {}", of(days, "day"), of(hours, "hour")),
        (days, _, _) => of(days, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (seconds, text) in [
            (59, "0 minutes"),
            (61, "1 minute"),
            (7260, "2 hours 1 minute"),
            (90_000, "1 day 1 hour"),
            (8_640_000, "100 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
