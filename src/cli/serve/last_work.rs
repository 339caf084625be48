//! What a server still does once it serves no more: tell what it has to tell, for a few seconds and no longer.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::{events::Events, observability};

/// How long the last lines of the journal, those of the audit log, and the last events are waited for.
const LAST_LINES: Duration = Duration::from_secs(5);

/// How long the collector is waited for.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Ends what works beside the requests, after the last of them.
pub(super) async fn finish(supervised: JoinHandle<()>, events: Option<Events>, journal: JoinHandle<()>) {
    // An idle server ends before it could be told.
    let _ = supervised.await;
    if let Some(events) = events {
        events.flush(LAST_LINES).await;
    }
    // Its last second; a volume that hangs does not keep the process.
    let _ = tokio::time::timeout(LAST_LINES, journal).await;
}

/// Sends and writes what the threads of their own still hold. Blocks.
pub(super) fn flush() {
    observability::traces::flush(LAST_SPANS);
    observability::flush_audit(LAST_LINES);
}
