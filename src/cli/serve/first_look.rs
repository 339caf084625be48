//! The quick part of the doctor, made when the server starts: a line in the log for each finding. It never keeps
//! the server from starting.

use std::{path::Path, time::Duration};

use tokio::time::timeout;

use crate::storage::{
    self,
    doctor::{Mount, Report, Severity, quick},
};

/// The start waits no longer: a volume that hangs is the watch's to tell.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tries the volume whose `v2` directory is given, and logs what was found.
pub(super) async fn tell(config: &storage::Config, v2: &Path) {
    let (config, v2) = (config.clone(), v2.to_path_buf());
    match timeout(PATIENCE, tokio::task::spawn_blocking(move || quick(&config, &v2))).await {
        Ok(Ok(report)) => log(&report),
        // A panic has logged itself.
        Ok(Err(_)) => {}
        Err(_) => tracing::warn!(
            advice = "look at the file server; when it answers: pakhuis doctor",
            "the volume did not answer the trials of the start in {} s",
            PATIENCE.as_secs()
        ),
    }
}

fn log(report: &Report) {
    let mount = report.mount.as_ref().map(Mount::describe).unwrap_or_default();
    let mut well = true;
    for (trial, finding) in report.findings().filter(|(_, finding)| finding.severity > Severity::Note) {
        well = false;
        tracing::warn!(trial, breaks = %finding.breaks, advice = %finding.advice, "{}", finding.problem);
    }
    if well {
        tracing::info!(mount, "the volume passed the trials of the start");
    } else {
        tracing::warn!(
            mount,
            advice = "pakhuis doctor",
            "the volume is not as it should be; for all of it run the doctor"
        );
    }
}
