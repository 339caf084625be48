//! Which command that changes something an administrator gave, for the audit log of the configuration that it is about.

use std::io::Write as _;

use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::config::Config;

/// Writes a command that was carried out. That it was is told even where the log cannot be written.
pub(super) fn record(config: &Config, command: &str, about: &str) {
    let Some(destination) = &config.log.audit else { return };
    let who = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).ok();
    let record = json!({
        "timestamp": OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
        "action": command,
        "outcome": "done",
        "about": about,
        "administrator": who,
        "uid": rustix::process::getuid().as_raw(),
    });
    if let Err(error) = destination.write(format!("{record}\n").as_bytes()) {
        // Without a stderr there is nobody to tell.
        let _ =
            writeln!(std::io::stderr(), "warning: the audit log {destination} cannot be written: {error}");
    }
}
