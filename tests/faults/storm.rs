//! Many requests of all kinds at once, and what the server uses meanwhile.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use crate::support::{
    client::{Answer, Client},
    image::{Image, MANIFEST, sha256},
};

/// The repository and the tag that must be there.
pub(crate) const REPOSITORY: &str = "team/app";
pub(crate) const TAG: &str = "before";

/// The deadline of a call, and some for a machine with other work.
pub(crate) const DEADLINE: Duration = Duration::from_secs(45);
/// What needs no volume is answered in well under this.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(3);

/// Places for calls of each of three kinds, and the threads that a server has anyway.
const MOST_THREADS: usize = 3 * 64 + 40;
/// What 500 requests may add, and 100 uploads on their way: each of those holds two pieces of 256 KiB, and to each what
/// one read of the connection brings more than that.
const MOST_MEMORY_KIB: u64 = 96 << 10;

/// What one request was told, and after how many seconds.
pub(crate) struct Told {
    kind: usize,
    pub(crate) answer: Option<Answer>,
    pub(crate) seconds: f64,
}

/// Sends many requests at once.
pub(crate) async fn storm(client: Client, image: Image, requests: usize) -> Vec<Told> {
    let requests = (0..requests).map(|number| {
        let (client, image) = (client.clone(), image.clone());
        async move {
            let begun = Instant::now();
            let (base, kind) = (format!("/v2/{REPOSITORY}"), number % 7);
            let (method, path, body) = match kind {
                0 => ("HEAD", format!("{base}/blobs/{}", sha256(image.layer())), Vec::new()),
                1 => ("GET", format!("{base}/blobs/{}", sha256(image.layer())), Vec::new()),
                2 => ("GET", format!("{base}/manifests/{TAG}"), Vec::new()),
                3 => ("GET", format!("{base}/tags/list"), Vec::new()),
                4 => ("POST", format!("{base}/blobs/uploads/"), Vec::new()),
                5 => ("POST", format!("{base}/blobs/uploads/?digest={}", sha256(b"x")), b"x".to_vec()),
                _ => ("PUT", format!("{base}/manifests/{TAG}"), image.manifest.clone()),
            };
            let answer = client.try_send(method, &path, &[("content-type", MANIFEST)], body).await;
            Told { kind, answer: answer.ok(), seconds: begun.elapsed().as_secs_f64() }
        }
    });
    join_all(requests).await
}

impl Told {
    pub(crate) fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |answer| answer.status)
    }

    /// Whether it is what a volume without faults would give, or that the client shall come back. A transfer that
    /// was cut is an answer too: no client takes it for whole.
    pub(crate) fn is_right(&self, image: &Image) -> bool {
        let Some(answer) = &self.answer else { return false };
        match (answer.status, self.kind) {
            (503, _) => answer.header("retry-after").parse::<u32>().is_ok(),
            (200, 0) => answer.header("content-length") == image.layer().len().to_string(),
            (200, 1) => answer.body.as_ref().is_ok_and(|body| body == image.layer()) || answer.body.is_err(),
            (200, 2) => answer.bytes() == image.manifest,
            (200, 3) => answer.json()["tags"].as_array().is_some_and(|tags| tags.contains(&TAG.into())),
            (status, kind) => matches!((status, kind), (202, 4) | (201, 5 | 6)),
        }
    }

    /// The upload that it began.
    pub(crate) fn upload(&self) -> Option<&str> {
        let begun = self.answer.as_ref().filter(|answer| answer.status == 202);
        begun.map(|answer| answer.header("location"))
    }
}

pub(crate) fn slowest(told: &[Told]) -> f64 {
    told.iter().map(|told| told.seconds).fold(0.0, f64::max)
}

/// What a process uses, by `/proc/PID/status`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    threads: usize,
    memory_kib: u64,
}

impl Status {
    pub(crate) fn of(pid: i32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
        };
        let threads = usize::try_from(number("Threads:")).expect("a small number");
        Self { threads, memory_kib: number("VmRSS:") }
    }

    pub(crate) fn raise(&mut self, other: &Self) {
        self.threads = self.threads.max(other.threads);
        self.memory_kib = self.memory_kib.max(other.memory_kib);
    }

    /// Threads have a bound, and requests that wait add little memory.
    #[track_caller]
    pub(crate) fn assert_bounded(&self, before: &Self) {
        assert!(self.threads <= MOST_THREADS, "{self:?}");
        assert!(self.memory_kib <= before.memory_kib + MOST_MEMORY_KIB, "{before:?}, then {self:?}");
    }
}
