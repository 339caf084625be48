//! The proof: clients at work on two servers, then a power cut at every change and flush they caused.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use pakhuis::oci::Algorithm;
use reqwest::Client;
use tempfile::TempDir;

use crate::{
    check::{Expectation, Found, Known, check_tree, check_volume, memory_directory},
    history::History,
    image::Image,
    random::{Random, number_from, seed_from},
    server::Server,
    strict_file_system::{
        StrictFileSystem,
        crash::{Disk, Kept, Tree},
        faults::{Effect, Fault, Operation},
        journal::Record,
    },
    traffic::{Addresses, Pusher},
};

/// Cuts of a run in CI.
const CUTS: usize = 2_000;
/// Rounds of a run at least: every other has servers that die.
const ROUNDS: usize = 4;
/// States looked at for each cut, besides the two extremes.
const RANDOM_STATES: usize = 2;
/// Repositories of the clients that work at once.
const CLIENTS: [&str; 3] = ["team/one", "team/two", "three"];
/// A flush takes a while, so that another server can come between.
const FLUSH_TIME: Duration = Duration::from_micros(700);

/// What a client did, and what the file system noted.
struct Recording {
    journal: Vec<Record>,
    history: Arc<History>,
}

/// One state to look at.
struct Job {
    tree: Tree,
    expected: Arc<Expectation>,
    about: String,
}

#[derive(Default)]
struct Totals {
    cuts: usize,
    states: usize,
    distinct: usize,
    acknowledged: usize,
    ghosts: usize,
    pushed_again: usize,
    violations: Vec<String>,
}

#[test]
fn every_cut_keeps_the_promise() {
    let seed = seed_from("PAKHUIS_POWER_LOSS_SEED");
    let wanted =
        number_from("PAKHUIS_POWER_LOSS_CUTS").map_or(CUTS, |cuts| usize::try_from(cuts).expect("a count"));
    println!("PAKHUIS_POWER_LOSS_SEED={seed} PAKHUIS_POWER_LOSS_CUTS={wanted}");
    let (started, mut dice, mut totals) = (Instant::now(), Random(seed), Totals::default());
    let mut round = 0;
    while totals.cuts < wanted && totals.violations.is_empty() {
        // Every other time servers die too, and leave to the others what they had not flushed.
        let recording = record(&mut dice, round % 2 == 1);
        totals.acknowledged += recording.history.acknowledged();
        look_at_cuts(&recording, round, wanted.div_ceil(ROUNDS), &mut dice, &mut totals);
        round += 1;
    }
    println!(
        "power loss: {} requests acknowledged in {round} rounds, {} cuts, {} states, {} of them distinct, {} images \
         pushed again, {} tags listed that name nothing, {} violations, {:.0} s",
        totals.acknowledged,
        totals.cuts,
        totals.states,
        totals.distinct,
        totals.pushed_again,
        totals.ghosts,
        totals.violations.len(),
        started.elapsed().as_secs_f64()
    );
    assert!(totals.violations.is_empty(), "seed {seed}:\n{}", totals.violations.join("\n"));
}

/// Lets the clients live on two servers, each with a mount of its own.
fn record(dice: &mut Random, with_deaths: bool) -> Recording {
    let store = StrictFileSystem::new();
    let history = Arc::new(History::new(store.clone()));
    let directories = [(); 2].map(|()| TempDir::new().expect("a directory"));
    let mounts = directories.each_ref().map(|directory| store.mount(directory.path()));
    for mount in &mounts {
        let flushes = &[Operation::Flush, Operation::FlushDirectory];
        mount.gate().add(Fault::always(flushes, Effect::Delay(FLUSH_TIME)));
    }
    let mut servers: Vec<Server> = mounts.iter().map(|mount| Server::start(mount.path())).collect();
    let addresses: Addresses =
        Arc::new(Mutex::new(servers.iter().map(|server| server.address().to_owned()).collect()));
    let shared = Image::random(Algorithm::Sha256, dice, 2);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let clients = CLIENTS.map(|repository| {
        let pusher = Pusher {
            http: Client::builder().no_proxy().build().expect("a client"),
            addresses: addresses.clone(),
            history: history.clone(),
            dice: Random(dice.next()),
            is_stopped: false,
        };
        runtime.spawn(pusher.live(repository, shared.clone()))
    });
    while with_deaths && !clients.iter().all(|client| client.is_finished()) {
        thread::sleep(Duration::from_millis(20 + dice.next() % 300));
        let number = dice.below(servers.len());
        servers[number].kill();
        servers[number] = Server::start(mounts[number].path());
        addresses.lock().unwrap_or_else(PoisonError::into_inner)[number] =
            servers[number].address().to_owned();
    }
    for client in clients {
        if let Err(error) = runtime.block_on(client) {
            let logs: Vec<String> = servers.iter().map(Server::log).collect();
            panic!("a client: {error}\n{}", logs.join("\n---\n"));
        }
    }
    Recording { journal: store.journal(), history }
}

/// Cuts the power at every change and flush, or where `wanted` is less than there are, at as many by chance.
fn look_at_cuts(recording: &Recording, round: usize, wanted: usize, dice: &mut Random, totals: &mut Totals) {
    let (send, receive) = mpsc::sync_channel::<Job>(4);
    let (receive, results) = (Mutex::new(receive), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| look_at_states(&receive, &results));
        }
        let images = Arc::new(recording.history.images());
        let (mut disk, mut seen) = (Disk::default(), HashSet::new());
        for (number, record) in recording.journal.iter().enumerate() {
            disk.advance(record);
            // A file comes into being with its name, which is the next record.
            if matches!(record, Record::New { .. }) || dice.below(recording.journal.len()) >= wanted {
                continue;
            }
            let position = number + 1;
            totals.cuts += 1;
            let under_way = recording.history.under_way(position);
            let expected = Arc::new(Expectation {
                things: recording.history.expected(position),
                images: images.clone(),
                push_again: under_way.iter().filter_map(|request| request.push.clone()).collect(),
            });
            for state in 0..RANDOM_STATES + 2 {
                let kept = match state {
                    0 => Kept::Nothing,
                    1 => Kept::Everything,
                    _ => Kept::Some(dice),
                };
                let tree = disk.after_a_cut(kept);
                totals.states += 1;
                if seen.insert(fingerprint(&tree, &expected)) {
                    totals.distinct += 1;
                    let requests: Vec<&str> = under_way.iter().map(|request| request.what.as_str()).collect();
                    let about = format!(
                        "round {round}, cut {position}, state {state}, after {}, during {requests:?}",
                        describe(record)
                    );
                    send.send(Job { tree, expected: expected.clone(), about }).expect("somebody looks");
                }
            }
        }
        drop(send);
    });
    for result in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match result {
            Ok(Found { ghosts, pushed_again }) => {
                totals.ghosts += ghosts;
                totals.pushed_again += pushed_again;
            }
            Err(violation) => totals.violations.push(violation),
        }
    }
}

fn look_at_states(jobs: &Mutex<mpsc::Receiver<Job>>, results: &Mutex<Vec<Result<Found, String>>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut known = Known::default();
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { tree, expected, about }) = job else { return };
        let looked = check_tree(&tree, &mut known).and_then(|()| {
            let directory = memory_directory();
            tree.write_to(directory.path()).map_err(|error| format!("making the state: {error}"))?;
            runtime.block_on(check_volume(directory.path(), &tree, &expected))
        });
        let looked = looked.map_err(|violation| format!("{violation}\n    {about}"));
        results.lock().unwrap_or_else(PoisonError::into_inner).push(looked);
    }
}

fn fingerprint(tree: &Tree, expected: &Expectation) -> u64 {
    let mut hasher = DefaultHasher::new();
    (tree.fingerprint(), &expected.things, &expected.push_again).hash(&mut hasher);
    hasher.finish()
}

fn describe(record: &Record) -> String {
    match record {
        Record::Write { file, offset, bytes } => format!("{} bytes at {offset} of {file}", bytes.len()),
        record => format!("{record:?}"),
    }
}
