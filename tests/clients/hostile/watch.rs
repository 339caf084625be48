//! An honest client that comes 20 times a second, and the server's memory, while something else goes on.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::task::JoinHandle;

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
        let (kept, new) = (Api::new(server), Api::maker(server, true));
        assert_eq!(kept.get("/v2/").await.status, 200, "and the password is known from now on");
        let asked = Arc::new(AtomicUsize::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&asked));
        let honest = tokio::spawn(async move {
            let (mut took, mut failed) = (Vec::new(), Vec::new());
            let mut clock = tokio::time::interval(Duration::from_millis(50));
            for number in 0_usize.. {
                clock.tick().await;
                count.store(number, Ordering::Relaxed);
                if stopped.load(Ordering::Relaxed) {
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
        });
        Self { server, stop, asked, honest, before: resident_kibibytes(server) }
    }

    /// Insists that the honest client was served, and that memory grew by less than `mebibytes`.
    pub(super) async fn end(self, during: &str, mebibytes: u64) {
        while self.asked.load(Ordering::Relaxed) < ENOUGH {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        let (took, failed) = self.honest.await.expect("the honest client");
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

/// `VmRSS`: what is resident now.
fn resident_kibibytes(server: &TestServer) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the server is running");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
