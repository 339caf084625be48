//! The check that a server makes by itself.

use std::{
    fs,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use pakhuis::registry::{Registry, verification::Schedule};
use tokio_util::sync::CancellationToken;

use crate::support::TestRegistry;

/// Patience with a check that looks twice, two seconds apart, at whatever it finds.
const PATIENCE: Duration = Duration::from_secs(60);

async fn wait_for_a_check(registry: &Registry) {
    let started = Instant::now();
    while registry.counters().verification_completed.load(Relaxed) == 0 {
        assert!(started.elapsed() < PATIENCE, "no check was made");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_finds_damage_by_itself_and_every_server_knows_of_it() {
    let volume = TestRegistry::in_memory();
    let digest = volume.anonymous().push_blob("team/app", &[7; 300_000]).await;
    let path = volume.blob_path(&digest);
    let mut bytes = fs::read(&path).unwrap();
    bytes[150_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (first, second) = (volume.another_server(), volume.another_server());
    let shutdown = CancellationToken::new();
    let soon = Schedule { interval: Duration::from_millis(200), rate: 0 };

    first.registry().verify_in_background(soon, shutdown.clone()).unwrap();
    wait_for_a_check(first.registry()).await;
    assert_eq!(first.registry().counters().damaged_set_aside.load(Relaxed), 1);
    assert!(!path.exists(), "it was set aside");
    assert_eq!(volume.anonymous().head(&format!("/v2/team/app/blobs/{digest}")).await.status, 404);
    shutdown.cancel();

    // The other server has no check of its own due, and tells of the one that was made.
    assert!(volume.v2().join(".pakhuis/verification.json").is_file());
    let (shutdown, later) =
        (CancellationToken::new(), Schedule { interval: Duration::from_secs(20), rate: 0 });
    second.registry().verify_in_background(later, shutdown.clone()).unwrap();
    wait_for_a_check(second.registry()).await;
    shutdown.cancel();
    // Healed like any other damage.
    volume.anonymous().push_blob("team/app", &[7; 300_000]).await;
    assert_eq!(volume.anonymous().get(&format!("/v2/team/app/blobs/{digest}")).await.status, 200);
}

#[tokio::test]
async fn a_check_that_another_server_is_at_is_left_to_it() {
    let volume = TestRegistry::in_memory();
    let mark = volume.v2().join(".pakhuis/verification-running");
    fs::write(&mark, "").unwrap();
    let shutdown = CancellationToken::new();
    let soon = Schedule { interval: Duration::from_millis(200), rate: 0 };
    volume.registry().verify_in_background(soon, shutdown.clone()).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(volume.registry().counters().verification_completed.load(Relaxed), 0);
    fs::remove_file(&mark).unwrap();
    wait_for_a_check(volume.registry()).await;
    shutdown.cancel();
}
