//! Errors and kills at each call that each request makes on the volume.
//!
//! `PAKHUIS_FAULT_SHARE=N` runs one case in N, chosen by `PAKHUIS_FAULT_SEED`; 1 runs all of them. Where it is not
//! set, as many as fit into a few minutes of CI.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    time::{Duration, Instant},
};

use crate::{
    judgement::{self, Outcome},
    random::{Random, number_from, seed_from},
    requests::{Request, Scene},
    support::{
        server::Server,
        tracer::{Effect, Seen, TRANSFERS},
        volume::Volume,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_error_at_any_call_is_an_answer() {
    run("errors", 40, errors_at).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_kill_at_any_call_loses_nothing() {
    run("kills", 8, |_| vec![Effect::Kill]).await;
}

/// All that can go wrong with a call.
fn errors_at(call: &Seen) -> Vec<Effect> {
    let mut effects = Vec::new();
    for &error in call.errors {
        effects.push(Effect::Once(error));
        // A signal does not come for ever, and what is not there for ever is not there.
        if !matches!(error, "EINTR" | "ENOENT") {
            effects.extend([Effect::SameCall(error), Effect::All(error)]);
        }
    }
    match call.name {
        "rename" | "unlink" => effects.push(Effect::LostReply("ENOENT")),
        "mkdir" | "linkat" => effects.push(Effect::LostReply("EEXIST")),
        _ if TRANSFERS.contains(&call.name) => effects.push(Effect::Short),
        _ => {}
    }
    effects
}

/// Where the seed of an earlier run is given.
pub(crate) const SEED: &str = "PAKHUIS_FAULT_SEED";

#[derive(Default)]
struct Report {
    sites: usize,
    possible: usize,
    run: usize,
    missed: usize,
    answers: BTreeMap<String, BTreeMap<String, usize>>,
    left: BTreeMap<String, usize>,
    wrong: BTreeMap<String, (usize, String)>,
}

async fn run(name: &str, share: u64, effects: impl Fn(&Seen) -> Vec<Effect>) {
    let (seed, share) = (seed_from(SEED), number_from("PAKHUIS_FAULT_SHARE").unwrap_or(share).max(1));
    println!("{name}: PAKHUIS_FAULT_SEED={seed} PAKHUIS_FAULT_SHARE={share}");
    let only = env::var("PAKHUIS_FAULT_REQUEST").ok();
    let started = Instant::now();
    let mut random = Random(seed);
    let volume = Volume::in_memory("size=1g");
    let mut bench = Bench { server: Server::traced(volume.root()), volume, number: random.next() >> 16 };
    let mut report = Report::default();
    for &request in Request::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{request:?}")) {
            continue;
        }
        let calls = bench.calls_of(request).await;
        report.sites += calls.len();
        println!("{name}: {request:?}: {}", calls_in_short(&calls));
        for (site, call) in calls.iter().enumerate() {
            for effect in effects(call) {
                report.possible += 1;
                if random.next().is_multiple_of(share) {
                    bench.case(request, site, call, effect, &mut report).await;
                }
            }
        }
    }
    report.print(name, started);
    assert!(report.wrong.is_empty(), "{name}: {} kinds of wrong answers, listed above", report.wrong.len());
    assert!(report.run > 0 && report.missed * 20 <= report.run, "{name}: too many cases met no call");
}

fn calls_in_short(calls: &[Seen]) -> String {
    let mut text = String::new();
    for call in calls {
        let _ = write!(text, " {}", call.name);
    }
    format!("{} calls:{text}", calls.len())
}

/// A server on a volume of its own, and the number of the next case.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) volume: Volume,
    pub(crate) number: u64,
}

impl Bench {
    /// The calls that a request makes when nothing fails: of three times those of the shortest, since the server may do
    /// something of its own meanwhile.
    pub(crate) async fn calls_of(&mut self, request: Request) -> Vec<Seen> {
        let mut shortest = self.calls_once(request).await;
        for _ in 0..2 {
            let calls = self.calls_once(request).await;
            if calls.len() < shortest.len() {
                shortest = calls;
            }
        }
        shortest
    }

    async fn calls_once(&mut self, request: Request) -> Vec<Seen> {
        self.number += 1;
        let scene = Scene::prepare(request, self.server.client(), self.number).await;
        self.server.tracer().arm(None);
        let answer = scene.send().await.unwrap_or_else(|error| panic!("{request:?}: {error:?}"));
        let calls = self.server.tracer().disarm();
        assert_eq!(answer.status, request.success(), "{request:?}, without a fault: {}", answer.told());
        let wrong = judgement::state(&scene, &self.volume, Outcome::Acknowledged).await;
        assert!(wrong.is_empty(), "{request:?}, without a fault: {wrong:?}");
        self.volume.wipe();
        calls
    }

    async fn case(
        &mut self,
        request: Request,
        site: usize,
        call: &Seen,
        effect: Effect,
        report: &mut Report,
    ) {
        self.number += 1;
        let mut scene = Scene::prepare(request, self.server.client(), self.number).await;
        self.server.tracer().arm(Some((site, effect)));
        let answer = scene.send().await;
        let calls = self.server.tracer().disarm();
        let hit = calls.get(site);
        report.run += 1;
        report.missed += usize::from(hit.is_none());
        let place = hit.unwrap_or(call);
        let mut wrong = Vec::new();
        let told = match &answer {
            Ok(answer) => answer.told(),
            Err(_) => "no answer".to_owned(),
        };
        *report.answers.entry(kind_of(effect)).or_default().entry(told).or_default() += 1;
        let outcome = judgement::answer(&scene, effect, &answer, &calls).unwrap_or_else(|error| {
            wrong.push(error);
            Outcome::Refused
        });
        let answer = answer.ok();
        // Also when it was told to something that the server did by itself.
        let full = is_of_a_full_volume(effect);
        let died = effect != Effect::Kill && self.server.tracer().has_ended();
        if died {
            wrong.push("the server died".to_owned());
        }
        if full {
            // What a server that is killed had still to tidy up stays: it does so every two seconds.
            for _ in 0..40 {
                let waits = |left: &String| left.contains(".tmp") || left.contains("data.*");
                if !self.volume.examine().left.iter().any(waits) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        if effect == Effect::Kill || full || died {
            // A full volume is not asked again for some seconds, which would take hours here.
            self.server.restart();
            scene.client = self.server.client();
        }
        wrong.extend(judgement::state(&scene, &self.volume, outcome).await);
        wrong.extend(judgement::afterwards(&scene, &self.volume, effect, answer.as_ref(), outcome).await);
        let findings =
            if effect == Effect::Kill { self.volume.examine() } else { self.volume.tidied().await };
        wrong.extend(findings.broken);
        for left in findings.left {
            let left = left.replace(&scene.repository, "*");
            // An upload whose bytes became the blob while every look at it failed: see `judgement::afterwards`.
            let name_stays =
                matches!(effect, Effect::All(_)) && left.starts_with("upload") && !left.contains("data");
            if effect == Effect::Kill || name_stays {
                *report.left.entry(left).or_default() += 1;
            } else {
                wrong.push(format!("left behind: {left}"));
            }
        }
        self.volume.wipe();
        for what in wrong {
            let what = what.replace(&scene.repository, "*");
            report.note(request, site, place, effect, &what);
        }
    }
}

fn is_of_a_full_volume(effect: Effect) -> bool {
    use Effect::{All, LostReply, Once, SameCall};
    matches!(effect, Once(error) | SameCall(error) | All(error) | LostReply(error) if matches!(error, "ENOSPC" | "EDQUOT"))
}

fn kind_of(effect: Effect) -> String {
    match effect {
        Effect::Once(error) => format!("{error} once"),
        Effect::SameCall(error) => format!("{error} lasting at this call"),
        Effect::All(error) => format!("{error} lasting"),
        Effect::LostReply(error) => format!("{error} for a lost reply"),
        Effect::Short => "half of the bytes".to_owned(),
        Effect::Hang => "hangs".to_owned(),
        Effect::Kill => "kill -9".to_owned(),
    }
}

impl Report {
    fn note(&mut self, request: Request, site: usize, call: &Seen, effect: Effect, what: &str) {
        let path = call.path.to_string_lossy();
        let place = path.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
        let above = path.split('/').rev().nth(1).unwrap_or_default();
        let key = format!("{request:?}: {} of {}: {what}", call.name, short(&path));
        let example = format!("call {site}, {}, .../{above}/{place}", kind_of(effect));
        let entry = self.wrong.entry(key).or_insert((0, String::new()));
        entry.0 += 1;
        if !entry.1.contains(&kind_of(effect)) {
            entry.1 = format!("{} [{example}]", entry.1);
        }
    }

    fn print(&self, name: &str, started: Instant) {
        println!(
            "{name}: {} call sites, {} cases, {} run, {} of them met no call, {:.0} s",
            self.sites,
            self.possible,
            self.run,
            self.missed,
            started.elapsed().as_secs_f64()
        );
        for (effect, answers) in &self.answers {
            println!("{name}: {effect}: {answers:?}");
        }
        for (left, count) in &self.left {
            println!("{name}: left for later: {count} x {left}");
        }
        for (what, (count, example)) in &self.wrong {
            println!("{name}: WRONG {count} x {what}{example}");
        }
    }
}

/// A path without what is different in every run.
fn short(path: &str) -> String {
    let path = path.strip_prefix("docker/registry/v2/").unwrap_or(path);
    let parts = path.split('/').map(|part| {
        if part.starts_with("case-")
            || part.len() == 64
            || part.len() == 128
            || (part.len() == 2 && part != "v2")
            || part.len() == 36
        {
            "*"
        } else {
            part.split_once('.').map_or(part, |(name, _)| if name.is_empty() { ".tmp" } else { part })
        }
    });
    parts.collect::<Vec<_>>().join("/")
}
