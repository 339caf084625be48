//! What has been counted since the process started, for the metrics.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

/// Counters of the registry. Each stands alone: no order between them is promised.
#[derive(Debug, Default)]
pub struct Counters {
    /// Blobs whose bytes this process found to have their digest, on their first read or because they were pushed.
    pub blobs_verified: AtomicU64,
    /// Blobs that were found damaged, each confirmed by a second reading.
    pub damaged_found: AtomicU64,
    /// Damaged blobs that this process set aside.
    pub damaged_set_aside: AtomicU64,
    /// Answers that were cut off because what was being sent did not have its digest.
    pub reads_cut: AtomicU64,
    /// Uploads whose bytes are being received now.
    pub uploads_receiving: AtomicU64,
    /// Findings of the last complete verification of the volume by any server; -1 when none is known.
    pub verification_findings: AtomicI64,
    /// When the last complete verification by any server ended, in seconds since 1970 by the file server's clock;
    /// 0 when none is known.
    pub verification_completed: AtomicI64,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self { verification_findings: AtomicI64::new(-1), ..Self::default() }
    }

    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// An upload that is being received, until it is dropped.
pub(super) struct Receiving(Arc<Counters>);

impl Receiving {
    pub(super) fn begin(counters: &Arc<Counters>) -> Self {
        Counters::add(&counters.uploads_receiving);
        Self(counters.clone())
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.uploads_receiving.fetch_sub(1, Ordering::Relaxed);
    }
}
