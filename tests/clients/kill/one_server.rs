//! One server: whatever it was doing when it was killed, what it acknowledged is there when it is back.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::Value;

use super::SEED;
use super::image::Image;
use super::volume::check_volume;
use crate::random::{Random, number_from, seed_from};
use crate::support::{Api, Options, TestServer};

const PUSHERS: u64 = 4;
/// The server lives between nothing and this long under load: long enough to be killed in every step.
const LONGEST_LIFE: Duration = Duration::from_millis(600);

/// What one pusher did with one life of the server.
struct Journal {
    acknowledged: Vec<Image>,
    interrupted: Image,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_survives() {
    let seed = seed_from(SEED);
    let rounds = number_from("PAKHUIS_KILL_ROUNDS").unwrap_or(100);
    println!("PAKHUIS_KILL_SEED={seed} PAKHUIS_KILL_ROUNDS={rounds}");
    let started = Instant::now();
    let mut random = Random(seed);
    let mut server = TestServer::start(Options::default());
    let (mut acknowledged, mut under_fire) = (Vec::new(), 0);

    for round in 0..rounds {
        let journals = push_until_killed(&mut server, &mut random).await;
        server.restart();
        let api = Api::new(&server);
        for mut journal in journals {
            check(&api, &journal, round).await;
            // What the crash left behind must not stand in the way of the same push again.
            let again = journal.interrupted;
            again.push(&api).await.unwrap_or_else(|error| panic!("the push after round {round}: {error:?}"));
            assert!(again.is_whole(&api).await, "round {round}: acknowledged, and not there");
            under_fire += journal.acknowledged.len();
            acknowledged.append(&mut journal.acknowledged);
            acknowledged.push(again);
        }
    }
    let api = Api::new(&server);
    for image in &acknowledged {
        assert!(image.is_whole(&api).await, "{}:{} was lost in a later round", image.repository, image.tag);
    }
    let (links, blobs) = check_volume(server.storage_root());
    println!(
        "kill: {rounds} rounds, {under_fire} images acknowledged before a kill, {} pushed again after one, \
         {links} links and {blobs} blobs on the volume as they should be, {:.0} s",
        acknowledged.len() - under_fire,
        started.elapsed().as_secs_f64()
    );
}

async fn push_until_killed(server: &mut TestServer, random: &mut Random) -> Vec<Journal> {
    let pushers: Vec<_> = (0..PUSHERS)
        .map(|pusher| tokio::spawn(push_until_it_breaks(Api::new(server), pusher, random.next())))
        .collect();
    let longest = u64::try_from(LONGEST_LIFE.as_micros()).expect("less than a second");
    tokio::time::sleep(Duration::from_micros(random.next() % longest)).await;
    server.kill_9();
    try_join_all(pushers).await.expect("a pusher that saw nothing but acknowledgements and the end")
}

async fn push_until_it_breaks(api: Api, pusher: u64, seed: u64) -> Journal {
    let mut random = Random(seed);
    let mut acknowledged = Vec::new();
    loop {
        let image = Image::new(format!("crash/pusher-{pusher}"), random.next());
        if image.push(&api).await.is_err() {
            return Journal { acknowledged, interrupted: image };
        }
        acknowledged.push(image);
    }
}

async fn check(api: &Api, journal: &Journal, round: u64) {
    for image in &journal.acknowledged {
        let name = format!("{}:{}", image.repository, image.tag);
        assert!(image.is_whole(api).await, "round {round}: {name} was acknowledged and is gone");
    }
    // Absent or whole: both are right.
    journal.interrupted.is_whole(api).await;
    // `latest` is the last acknowledged image, or the interrupted one when it came that far.
    let Some(last) = journal.acknowledged.last() else { return };
    let path = format!("/v2/{}/manifests/latest", last.repository);
    let answer = api.get(&path).await;
    assert_eq!(answer.status, 200, "round {round}: {path}");
    let expected = [last, &journal.interrupted].iter().any(|image| answer.body == image.manifest);
    assert!(expected, "round {round}: {path} is {:?}", serde_json::from_slice::<Value>(&answer.body));
}
