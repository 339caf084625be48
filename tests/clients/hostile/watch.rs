//! An honest client that comes 20 times a second, and the server's memory, while something else goes on.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::support::{Api, TestServer};

/// How long one request in a hundred may take while others do their worst: attackers, the honest client and the server
/// share two cores. Of a server that is no release only that it answers.
fn bearable() -> Duration {
    let release = std::env::var_os("PAKHUIS_UNDER_TEST").is_some();
    Duration::from_millis(if release { 1000 } else { 30_000 })
}

/// Fewer requests tell nothing.
const ENOUGH: usize = 30;

pub(super) struct Watch<'a> {
    server: &'a TestServer,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    honest: JoinHandle<(Vec<Duration>, Vec<String>)>,
    before: u64,
}

impl<'a> Watch<'a> {
    pub(super) async fn begin(server: &'a TestServer) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let new = Api::maker(server, true);
        assert_eq!(new().get("/v2/").await.status, 200, "and the password is known from now on");
        let asked = Arc::new(AtomicUsize::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&asked));
        // In a thread of its own: what is measured is the server, not who waits for the attackers of this process.
        let honest = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(come_again_and_again(&new, &stopped, &count))
        });
        Self { server, stop, asked, honest, before: resident_kibibytes(server) }
    }

    /// Insists that the honest client was served, and that memory grew by less than `mebibytes`.
    pub(super) async fn end(self, during: &str, mebibytes: u64) {
        while self.asked.load(Ordering::Relaxed) < ENOUGH {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        let (took, failed) = self.honest.join().expect("the honest client");
        let peak = self.server.peak_kibibytes();
        let grown = peak.saturating_sub(self.before) / 1024;
        let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
        println!(
            "{during}: honest client {} requests, {} failed, half within {:.1} ms, 99 % within {:.1} ms; memory {} MiB, at most {} MiB",
            took.len(),
            failed.len(),
            at(50).as_secs_f64() * 1e3,
            at(99).as_secs_f64() * 1e3,
            self.before / 1024,
            peak / 1024,
        );
        assert!(failed.is_empty(), "{during}: {failed:#?}");
        assert!(at(99) < bearable(), "{during}: 99 % within {:?}", at(99));
        assert!(grown < mebibytes, "{during}: memory grew by {grown} MiB, {mebibytes} are allowed");
    }
}

/// Every other time over the same connection; how long each answer took, in order, and what was no answer.
async fn come_again_and_again(
    new: &(impl Fn() -> Api + Sync),
    stop: &AtomicBool,
    asked: &AtomicUsize,
) -> (Vec<Duration>, Vec<String>) {
    let kept = new();
    let (mut took, mut failed) = (Vec::new(), Vec::new());
    let mut clock = tokio::time::interval(Duration::from_millis(50));
    for number in 0_usize.. {
        clock.tick().await;
        asked.store(number, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let client = if number.is_multiple_of(2) { kept.clone() } else { new() };
        let begin = Instant::now();
        match client.send(Method::GET, "/v2/_catalog").await {
            Ok(answer) if answer.status == 200 => took.push(begin.elapsed()),
            Ok(answer) => failed.push(format!("{number}: {}", answer.status)),
            Err(error) => failed.push(format!("{number}: {error:?}")),
        }
    }
    took.sort_unstable();
    (took, failed)
}

/// `VmRSS`: what is resident now.
fn resident_kibibytes(server: &TestServer) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the server is running");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
