//! One request after another, each to a random server: every answer is that of the model.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proptest::{
    bool::weighted,
    collection::vec,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use tokio::runtime::Runtime;

use crate::{
    call::Call,
    random::{number_from, seed_from},
    servers::{SERVERS, Servers},
    specification::Specification,
    step::{Step, prelude, step},
};

/// Requests on one volume before the next begins empty.
const REQUESTS: usize = 200;
/// Requests in `cargo test`; `.ci/run` asks for 100,000.
pub(crate) const OPERATIONS: u64 = 4000;
/// How long a difference may be made smaller.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often each kind of request was answered with each status.
type Counts = BTreeMap<(&'static str, u16), u64>;

#[test]
fn every_answer_is_that_of_the_model() {
    let seed = seed_from("PAKHUIS_MODEL_SEED");
    let operations = number_from("PAKHUIS_MODEL_OPERATIONS").unwrap_or(OPERATIONS);
    println!("PAKHUIS_MODEL_SEED={seed} PAKHUIS_MODEL_OPERATIONS={operations}");
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let counts = RefCell::new(Counts::new());
    let mut runner = runner(seed, u32::try_from(operations.div_ceil(REQUESTS as u64)).unwrap());
    // Without the blobs that manifests need, few of them would be accepted.
    let steps = (weighted(0.8), vec(step(SERVERS), REQUESTS));
    let result = runner.run(&steps, |(begun, steps)| {
        let steps = if begun { [prelude(), steps].concat() } else { steps };
        match run(&runtime, &steps, &mut counts.borrow_mut()) {
            None => Ok(()),
            Some(_) => Err(TestCaseError::fail(minimise(&runtime, steps))),
        }
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(difference, _)) => panic!("the servers and the model differ\n{difference}"),
        Err(error) => panic!("{error}"),
    }
    let counts = counts.into_inner();
    for ((kind, status), count) in &counts {
        println!("{kind:16} {status} {count:7}");
    }
    let total: u64 = counts.values().sum();
    println!("model: {total} requests to {SERVERS} servers, {:.1} s", started.elapsed().as_secs_f64());
    assert_covered(&counts);
}

/// Nothing is shown by requests that all fail.
fn assert_covered(counts: &Counts) {
    let succeeded = |kind: &str, status: u16| {
        let found = counts.iter().find(|((found, with), _)| *found == kind && *with == status);
        assert!(found.is_some(), "no {kind} was answered with {status}");
    };
    for (kind, status) in [
        ("POST upload", 202),
        ("POST mount", 201),
        ("POST mount", 202),
        ("POST monolithic", 201),
        ("PATCH upload", 202),
        ("PATCH upload", 416),
        ("PUT upload", 201),
        ("DELETE upload", 204),
        ("GET upload", 204),
        ("GET blob", 200),
        ("GET blob", 206),
        ("GET blob", 416),
        ("HEAD blob", 200),
        ("DELETE blob", 202),
        ("PUT manifest", 201),
        ("GET manifest", 200),
        ("DELETE manifest", 202),
        ("GET tags", 200),
        ("GET catalogue", 200),
        ("GET referrers", 200),
    ] {
        succeeded(kind, status);
    }
}

/// Sends the steps to servers on a new volume; the requests up to the first difference, if there is one.
fn run(runtime: &Runtime, steps: &[Step], counts: &mut Counts) -> Option<String> {
    let servers = Servers::start(SERVERS);
    let mut specification = Specification::default();
    let mut history = Vec::new();
    for step in steps {
        let call = step.call(&specification);
        let expected = specification.expect(&call);
        let reply = runtime.block_on(servers.send(step.server, &call));
        specification.name_upload(reply.find("docker-upload-uuid"));
        *counts.entry((call.kind(), reply.status)).or_default() += 1;
        history.push(line(step.server, &call, reply.status));
        if let Err(difference) = expected.compare(&reply) {
            return Some(format!("{}\n{difference}", history.join("\n")));
        }
    }
    None
}

/// The difference that is left when every step is left out without which the servers and the model still differ:
/// halves, then quarters, down to single steps (delta debugging).
fn minimise(runtime: &Runtime, mut steps: Vec<Step>) -> String {
    let (deadline, mut counts) = (Instant::now() + PATIENCE, Counts::new());
    let mut differs = |steps: &[Step]| run(runtime, steps, &mut counts);
    let mut difference =
        differs(&steps).unwrap_or_else(|| "which is not seen again with the same requests".to_owned());
    let mut length = steps.len().div_ceil(2);
    while length > 0 && Instant::now() < deadline {
        let mut start = 0;
        while start < steps.len() && Instant::now() < deadline {
            let end = (start + length).min(steps.len());
            let fewer = [&steps[..start], &steps[end..]].concat();
            match differs(&fewer) {
                Some(smaller) => (steps, difference) = (fewer, smaller),
                None => start = end,
            }
        }
        length /= 2;
    }
    difference
}

/// `B: GET /v2/a/tags/list -> 200`.
pub(crate) fn line(server: usize, call: &Call, status: u16) -> String {
    let name = char::from(b'A' + u8::try_from(server).unwrap_or_default());
    format!("{name}: {call} -> {status}")
}

pub(crate) fn runner(seed: u64, cases: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        // The seed that is printed repeats a run; a file of them in the tree would not help.
        failure_persistence: None,
        // A list of a given length is not made shorter by it; see `minimise`.
        max_shrink_iters: 0,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}
