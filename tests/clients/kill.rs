//! `kill -9` of the server at random moments while images are being pushed.
//!
//! `PAKHUIS_KILL_SEED` repeats the pushes and the moments of an earlier run, `PAKHUIS_KILL_ROUNDS` their number.

use std::env;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Api, Options, TestServer, pseudo_random, sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const PUSHERS: u64 = 4;
/// The server lives between nothing and this long under load: long enough to be killed in every step.
const LONGEST_LIFE: Duration = Duration::from_millis(600);

/// An image of 1 to 4 layers of 1 to 200 kB, all known by one number.
#[derive(Clone)]
struct Image {
    repository: String,
    tag: String,
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

impl Image {
    fn new(pusher: u64, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut blobs: Vec<_> = (0..=random.below(4))
            .map(|_| {
                let mut bytes = Vec::new();
                let length = 1_000 + random.below(199_000);
                pseudo_random(random.next()).take(length).read_to_end(&mut bytes).expect("endless bytes");
                bytes
            })
            .collect();
        blobs.push(json!({ "architecture": "amd64", "os": "linux", "seed": seed }).to_string().into_bytes());
        let descriptor = |media_type: &str, bytes: &Vec<u8>| json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() });
        let (config, layers) = blobs.split_last().expect("at least the configuration");
        let layer_type = "application/vnd.oci.image.layer.v1.tar";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": layers.iter().map(|layer| descriptor(layer_type, layer)).collect::<Vec<_>>(),
        });
        Self {
            repository: format!("crash/pusher-{pusher}"),
            tag: format!("image-{seed:x}"),
            manifest: manifest.to_string().into_bytes(),
            blobs,
        }
    }

    /// `Ok` once the registry has acknowledged the manifest under its own tag and under `latest`.
    /// An answer of an error is never right here: a server is alive and acknowledges, or it is dead.
    async fn push(&self, api: &Api) -> Result<(), reqwest::Error> {
        for (number, blob) in self.blobs.iter().enumerate() {
            let digest = sha256(blob);
            let answer = if number % 2 == 0 {
                api.upload(&self.repository, &digest, blob.clone()).await?
            } else {
                api.upload_at_once(&self.repository, &digest, blob.clone()).await?
            };
            assert_eq!(answer.status, 201, "{} {digest}: {:?}", self.repository, answer.body);
        }
        for tag in [self.tag.as_str(), "latest"] {
            let answer = api.put_manifest(&self.repository, tag, MANIFEST, self.manifest.clone()).await?;
            assert_eq!(answer.status, 201, "{}:{tag}: {:?}", self.repository, answer.body);
        }
        Ok(())
    }

    /// Whether it is there: then all of it must be, byte for byte.
    async fn is_whole(&self, api: &Api) -> bool {
        let path = format!("/v2/{}/manifests/{}", self.repository, self.tag);
        let answer = api.get(&path).await;
        if answer.status == 404 {
            return false;
        }
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        assert!(answer.body == self.manifest, "{path} is not what was pushed");
        for blob in &self.blobs {
            let path = format!("/v2/{}/blobs/{}", self.repository, sha256(blob));
            let answer = api.get(&path).await;
            assert_eq!(answer.status, 200, "{path} of a visible manifest");
            assert!(answer.body == *blob, "{path} is not what was pushed");
        }
        true
    }
}

/// What one pusher did with one life of the server.
#[derive(Default)]
struct Journal {
    acknowledged: Vec<Image>,
    interrupted: Option<Image>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_survives() {
    let seed = number_from("PAKHUIS_KILL_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        now.as_secs() ^ u64::from(now.subsec_nanos()) << 20
    });
    let rounds = number_from("PAKHUIS_KILL_ROUNDS").unwrap_or(100);
    println!("PAKHUIS_KILL_SEED={seed} PAKHUIS_KILL_ROUNDS={rounds}");
    let started = Instant::now();
    let mut random = Random(seed);
    let mut server = TestServer::start(Options::default());
    let mut everything: Vec<Journal> = Vec::new();

    for round in 0..rounds {
        let journals = push_until_killed(&mut server, &mut random, round).await;
        server.restart();
        let api = Api::new(&server);
        for (pusher, journal) in journals.iter().enumerate() {
            check(&api, journal, round).await;
            // What the crash left behind must not stand in the way of the same push again.
            let next =
                journal.interrupted.clone().unwrap_or_else(|| Image::new(pusher as u64, random.next()));
            next.push(&api).await.unwrap_or_else(|error| panic!("the push after round {round}: {error:?}"));
            assert!(next.is_whole(&api).await, "round {round}: acknowledged, and not there");
        }
        everything.extend(journals);
    }
    let api = Api::new(&server);
    let mut acknowledged = 0;
    for image in everything.iter().flat_map(|journal| &journal.acknowledged) {
        assert!(image.is_whole(&api).await, "{}:{} was lost in a later round", image.repository, image.tag);
        acknowledged += 1;
    }
    let interrupted = everything.iter().filter(|journal| journal.interrupted.is_some()).count();
    assert!(acknowledged > rounds && interrupted as u64 > rounds, "too few pushes to prove anything");
    println!(
        "kill: {rounds} rounds, {acknowledged} images acknowledged and whole, {interrupted} interrupted, {:.0} s",
        started.elapsed().as_secs_f64()
    );
}

async fn push_until_killed(server: &mut TestServer, random: &mut Random, round: u64) -> Vec<Journal> {
    let journals: Vec<_> = (0..PUSHERS).map(|_| Arc::new(Mutex::new(Journal::default()))).collect();
    let mut pushers = JoinSet::new();
    for (pusher, journal) in journals.iter().enumerate() {
        let (api, journal, seed) = (Api::new(server), Arc::clone(journal), random.next());
        pushers.spawn(push_until_it_breaks(api, journal, pusher as u64, seed));
    }
    let longest = u64::try_from(LONGEST_LIFE.as_micros()).expect("less than a second");
    tokio::time::sleep(Duration::from_micros(random.below(longest))).await;
    server.kill_9();
    while let Some(ended) = pushers.join_next().await {
        ended.unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    let taken =
        journals.iter().map(|journal| std::mem::take(&mut *journal.lock().expect("no pusher panicked")));
    taken.collect()
}

async fn push_until_it_breaks(api: Api, journal: Arc<Mutex<Journal>>, pusher: u64, seed: u64) {
    let mut random = Random(seed);
    loop {
        let image = Image::new(pusher, random.next());
        let pushed = image.push(&api).await;
        let mut journal = journal.lock().expect("no pusher panicked");
        if pushed.is_err() {
            journal.interrupted = Some(image);
            return;
        }
        journal.acknowledged.push(image);
    }
}

async fn check(api: &Api, journal: &Journal, round: u64) {
    for image in &journal.acknowledged {
        let name = format!("{}:{}", image.repository, image.tag);
        assert!(image.is_whole(api).await, "round {round}: {name} was acknowledged and is gone");
    }
    if let Some(image) = &journal.interrupted {
        image.is_whole(api).await;
    }
    // `latest` is the last acknowledged image, or the interrupted one when it came that far.
    let Some(last) = journal.acknowledged.last() else { return };
    let path = format!("/v2/{}/manifests/latest", last.repository);
    let answer = api.get(&path).await;
    assert_eq!(answer.status, 200, "round {round}: {path}");
    let expected = [Some(last), journal.interrupted.as_ref()];
    let expected = expected.into_iter().flatten().any(|image| answer.body == image.manifest);
    assert!(expected, "round {round}: {path} is {:?}", serde_json::from_slice::<Value>(&answer.body));
}

fn number_from(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// splitmix64: any number is a good seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
