//! What `/metrics` says: numbers that the parts keep, read when they are asked for. Reading them asks nothing of
//! the volume, so that a scrape answers while it hangs.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry as Metrics, Unit},
};

use crate::{
    auth::Authenticator,
    observability::traffic,
    registry::{Counters, Registry, VolumeStatus},
    tls::ReloadingCertificate,
};

/// All metrics of this process.
pub(super) fn metrics(
    registry: Registry,
    authenticator: Authenticator,
    certificate: Option<Arc<ReloadingCertificate>>,
) -> Metrics {
    let mut metrics = Metrics::with_prefix("pakhuis");
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    metrics.register("build", "The version that runs", build);
    traffic().register(&mut metrics);
    metrics.register_collector(Box::new(Volume(registry)));
    metrics.register_collector(Box::new(Process { authenticator, certificate }));
    metrics
}

/// The volume as last seen.
struct Volume(Registry);

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Volume")
    }
}

/// What else the process holds.
struct Process {
    authenticator: Authenticator,
    certificate: Option<Arc<ReloadingCertificate>>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let running = traffic().running();
        signed_gauge(&mut encoder, "http_requests_running", "Requests being answered now", None, running)?;
        let waiting = traffic().events_waiting.load(Relaxed);
        gauge(&mut encoder, "events_waiting", "Events that wait for their target", None, waiting)?;
        if let Some(certificate) = &self.certificate {
            let expiry = certificate.facts().not_after.unix_timestamp();
            let help = "When the certificate in service expires";
            let seconds = Some(&Unit::Seconds);
            signed_gauge(&mut encoder, "certificate_expiry_timestamp", help, seconds, expiry)?;
        }
        let users = self.authenticator.user_count().and_then(|count| i64::try_from(count).ok());
        let help = "Users who could sign in; -1 when the file cannot be read or nobody has to";
        signed_gauge(&mut encoder, "users", help, None, users.unwrap_or(-1))?;
        let sign_ins = self.authenticator.sign_ins();
        let help = "Sign-ins that wait for their hash, and those being hashed";
        gauge(&mut encoder, "sign_ins_waiting", help, None, sign_ins.waiting)?;
        gauge(&mut encoder, "sign_ins_cached", "Proven credentials in memory", None, sign_ins.cached)?;
        counter(&mut encoder, "passwords_hashed", "Passwords hashed", sign_ins.hashed)?;
        let help = "Sign-ins answered from memory, without a hash";
        counter(&mut encoder, "sign_ins_remembered", help, sign_ins.remembered)?;
        counter(&mut encoder, "sign_ins_rejected", "Wrong passwords and unknown users", sign_ins.rejected)
    }
}

impl Collector for Volume {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let volume = self.0.volume_status();
        let bytes = Some(&Unit::Bytes);
        gauge(&mut encoder, "volume_free", "Room that is left on the volume", bytes, volume.free_bytes)?;
        gauge(&mut encoder, "volume_size", "Size of the volume", bytes, volume.total_bytes)?;
        gauge(&mut encoder, "volume_hung", "1 while the volume does not answer", None, volume.hung.into())?;
        gauge(
            &mut encoder,
            "volume_full",
            "1 while uploads are refused for lack of room",
            None,
            volume.full.into(),
        )?;
        counter(
            &mut encoder,
            "uploads_refused_full",
            "Uploads refused or broken off because the volume is full",
            volume.refused_full,
        )?;
        counter(
            &mut encoder,
            "volume_calls_refused",
            "Calls on the volume refused because it hangs",
            volume.refused_hung,
        )?;
        let receiving = self.0.counters().uploads_receiving.load(Relaxed);
        gauge(&mut encoder, "uploads_receiving", "Uploads whose bytes are coming now", None, receiving)?;
        counter(
            &mut encoder,
            "content_opened",
            "How often a manifest or blob was opened for reading",
            self.0.content_reads(),
        )?;
        verification(&mut encoder, self.0.counters())?;
        errors(encoder, &volume)
    }
}

/// Damage that was looked for, and found.
fn verification(encoder: &mut DescriptorEncoder<'_>, counters: &Counters) -> fmt::Result {
    for (name, help, count) in [
        ("blobs_verified", "Blobs whose bytes were found to have their digest", &counters.blobs_verified),
        ("blobs_damaged", "Blobs found damaged, each confirmed by a second reading", &counters.damaged_found),
        ("blobs_set_aside", "Damaged blobs that were set aside", &counters.damaged_set_aside),
        ("reads_cut", "Answers cut off because the content did not have its digest", &counters.reads_cut),
    ] {
        counter(encoder, name, help, count.load(Relaxed))?;
    }
    let completed = counters.verification_completed.load(Relaxed);
    let help = "When the last verification by any server ended, by the file server's clock; 0 when unknown";
    let seconds = Some(&Unit::Seconds);
    signed_gauge(encoder, "verification_completed_timestamp", help, seconds, completed)?;
    let findings = counters.verification_findings.load(Relaxed);
    let help = "Findings of the last verification by any server; -1 when unknown";
    signed_gauge(encoder, "verification_findings", help, None, findings)
}

/// Failed calls on the volume by kind.
fn errors(mut encoder: DescriptorEncoder<'_>, volume: &VolumeStatus) -> fmt::Result {
    let kinds = [
        ("timed_out", volume.timed_out),
        ("out_of_space", volume.out_of_space),
        ("read_only", volume.read_only),
        ("failed", volume.failed),
    ];
    let help = "Calls on the volume that failed, by kind";
    let kind_of_metric = prometheus_client::metrics::MetricType::Counter;
    let mut family = encoder.encode_descriptor("volume_errors", help, None, kind_of_metric)?;
    for (kind, count) in kinds {
        let labels = [("kind", kind)];
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> fmt::Result {
    signed_gauge(encoder, name, help, unit, i64::try_from(value).unwrap_or(i64::MAX))
}

fn signed_gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: i64,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth, registry, storage};

    #[test]
    fn the_volume_is_told_in_openmetrics() {
        let directory = tempfile::tempdir().unwrap();
        let storage = storage::Storage::open(storage::Config::new(directory.path())).unwrap();
        let registry = Registry::new(storage, registry::Config::default());
        let authenticator = auth::Authenticator::open(auth::Config::default()).unwrap();
        let mut text = String::new();
        let metrics = metrics(registry, authenticator, None);
        prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
        for line in [
            "# TYPE pakhuis_volume_free_bytes gauge",
            "pakhuis_volume_hung 0",
            "pakhuis_volume_full 0",
            "pakhuis_uploads_refused_full_total 0",
            "pakhuis_blobs_damaged_total 0",
            "pakhuis_verification_findings -1",
            "pakhuis_uploads_receiving 0",
            "pakhuis_sign_ins_waiting 0",
            "pakhuis_users -1",
            "pakhuis_volume_errors_total{kind=\"out_of_space\"} 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
