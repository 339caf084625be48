//! A volume that hangs from one call on, in the middle of each request: an answer within the deadline, and when it
//! comes back all goes on.
//!
//! Each case waits for the deadline of the server, so all kinds of requests are tried at once, each at one call that
//! the seed chooses. `PAKHUIS_FAULT_SHARE=1` tries every call, one round after the other.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::{
    each_call::{Bench, SEED},
    judgement::{self, Outcome},
    random::{Random, number_from, seed_from},
    requests::{Request, Scene},
    support::{server::Server, tracer::Effect, volume::Volume},
};

/// The 30 s within which a request is answered, and some for a machine with other work.
const DEADLINE: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_at_any_call_is_an_answer() {
    let (seed, all) = (seed_from(SEED), number_from("PAKHUIS_FAULT_SHARE") == Some(1));
    println!("hangs: PAKHUIS_FAULT_SEED={seed}, {}", if all { "every call" } else { "one call a request" });
    let mut random = Random(seed);
    let number = random.next() >> 16;
    let mut benches = Vec::new();
    for &request in Request::ALL {
        let volume = Volume::in_memory("size=64m");
        let mut bench = Bench { server: Server::traced(volume.root()), volume, number };
        let sites = bench.calls_of(request).await.len();
        benches.push((request, bench, sites));
    }
    let rounds = if all { benches.iter().map(|(_, _, sites)| *sites).max().unwrap_or(0) } else { 1 };
    let (mut cases, mut slowest, mut wrong) = (0, Duration::ZERO, Vec::new());
    for round in 0..rounds {
        let started =
            benches.iter_mut().filter(|(_, _, sites)| round < *sites).map(|(request, bench, sites)| {
                let chosen = usize::try_from(random.next() >> 33).unwrap_or(0) % *sites;
                hang(*request, bench, if all { round } else { chosen })
            });
        for (took, found) in join_all(started.collect::<Vec<_>>()).await {
            cases += 1;
            slowest = slowest.max(took);
            wrong.extend(found);
        }
    }
    println!("hangs: {cases} cases, slowest answer after {:.1} s", slowest.as_secs_f64());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn hang(request: Request, bench: &mut Bench, site: usize) -> (Duration, Vec<String>) {
    bench.number += 1;
    let scene = Scene::prepare(request, bench.server.client(), bench.number).await;
    bench.server.tracer().arm(Some((site, Effect::Hang)));
    let begun = Instant::now();
    let answer = scene.send().await;
    let took = begun.elapsed();
    let alive = scene.client.send("GET", "/healthz", b"").await.status;
    let calls = bench.server.tracer().disarm();
    // Its calls wake the tracer, which lets the hanging ones go on.
    let woken = scene.client.send("GET", "/healthz", b"").await.status;
    let mut wrong = Vec::new();
    if took > DEADLINE || alive != 200 || woken != 200 {
        wrong.push(format!("answered after {took:?}, /healthz {alive} {woken}"));
    }
    let outcome = judgement::answer(&scene, Effect::Hang, &answer, &calls).unwrap_or_else(|error| {
        wrong.push(error);
        Outcome::Refused
    });
    // The server asks the volume every two seconds, and finds that it answers.
    let back = Instant::now();
    while scene.client.send("GET", "/readyz", b"").await.status != 200 {
        if back.elapsed() > Duration::from_secs(20) {
            wrong.push("not ready 20 s after the volume came back".to_owned());
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    wrong.extend(judgement::state(&scene, &bench.volume, outcome).await);
    wrong.extend(
        judgement::afterwards(&scene, &bench.volume, Effect::Hang, answer.as_ref().ok(), outcome).await,
    );
    let mut findings = bench.volume.examine();
    for _ in 0..50 {
        if findings.left.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        findings = bench.volume.examine();
    }
    wrong.extend(findings.broken);
    wrong.extend(findings.left.into_iter().map(|left| format!("left behind: {left}")));
    bench.volume.wipe();
    let place = format!("{request:?}, hangs at call {site}");
    (took, wrong.into_iter().map(|what| format!("{place}: {what}")).collect())
}
