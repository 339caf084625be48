//! `kill -9` of the server at random moments while images are being pushed.
//!
//! `PAKHUIS_KILL_SEED` repeats the pushes and the moments of an earlier run, `PAKHUIS_KILL_ROUNDS` their number.

use std::env;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::support::{Api, Options, TestServer, pseudo_random, sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const PUSHERS: u64 = 4;
/// The server lives between nothing and this long under load: long enough to be killed in every step.
const LONGEST_LIFE: Duration = Duration::from_millis(600);

/// An image of 1 to 4 layers of 1 to 200 kB. All of it follows from the seed, so the journal stays small.
#[derive(Clone)]
struct Image {
    seed: u64,
    repository: String,
    tag: String,
    manifest: Vec<u8>,
    /// Of the layers, then of the configuration.
    digests: Vec<String>,
}

impl Image {
    fn new(pusher: u64, seed: u64) -> Self {
        let blobs = Self::blobs(seed);
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
            seed,
            repository: format!("crash/pusher-{pusher}"),
            tag: format!("image-{seed:x}"),
            manifest: manifest.to_string().into_bytes(),
            digests: blobs.iter().map(|bytes| sha256(bytes)).collect(),
        }
    }

    fn blobs(seed: u64) -> Vec<Vec<u8>> {
        let mut random = Random(seed);
        let config = json!({ "architecture": "amd64", "os": "linux", "seed": seed }).to_string().into_bytes();
        let layers = (0..=random.below(4)).map(|_| {
            let mut bytes = Vec::new();
            let length = 1_000 + random.below(199_000);
            pseudo_random(random.next()).take(length).read_to_end(&mut bytes).expect("endless bytes");
            bytes
        });
        layers.collect::<Vec<_>>().into_iter().chain([config]).collect()
    }

    /// `Ok` once the registry has acknowledged the manifest under its own tag and under `latest`.
    /// An answer of an error is never right here: a server is alive and acknowledges, or it is dead.
    async fn push(&self, api: &Api) -> Result<(), reqwest::Error> {
        for (number, (digest, blob)) in self.digests.iter().zip(Self::blobs(self.seed)).enumerate() {
            let answer = if number % 2 == 0 {
                api.upload(&self.repository, digest, blob).await?
            } else {
                api.upload_at_once(&self.repository, digest, blob).await?
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
        for digest in &self.digests {
            let path = format!("/v2/{}/blobs/{digest}", self.repository);
            let answer = api.get(&path).await;
            assert_eq!(answer.status, 200, "{path} of a visible manifest");
            assert_eq!(sha256(&answer.body), *digest, "{path} is not what was pushed");
        }
        true
    }
}

/// What one pusher did with one life of the server.
struct Journal {
    acknowledged: Vec<Image>,
    interrupted: Image,
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
    tokio::time::sleep(Duration::from_micros(random.below(longest))).await;
    server.kill_9();
    try_join_all(pushers).await.expect("a pusher that saw nothing but acknowledgements and the end")
}

async fn push_until_it_breaks(api: Api, pusher: u64, seed: u64) -> Journal {
    let mut random = Random(seed);
    let mut acknowledged = Vec::new();
    loop {
        let image = Image::new(pusher, random.next());
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

/// Nothing half written is visible, whether a manifest names it or not: a link is one digest without a
/// newline, and a blob has the digest that it is filed under. Gives the number of each.
fn check_volume(root: &Path) -> (u64, u64) {
    let (mut links, mut blobs) = (0, 0);
    let mut to_do = vec![root.join("docker/registry/v2/repositories"), root.join("docker/registry/v2/blobs")];
    while let Some(directory) = to_do.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the volume") {
            let path = entry.expect("an entry of the volume").path();
            if path.is_dir() {
                // What an upload has so far is nobody's business but its own.
                to_do.extend((path.file_name() != Some("_uploads".as_ref())).then_some(path));
                continue;
            }
            match path.file_name().and_then(|name| name.to_str()) {
                Some("link") => {
                    let link = fs::read_to_string(&path).expect("a readable link");
                    assert!(
                        link.len() == 71 && link.starts_with("sha256:"),
                        "{} is {link:?}",
                        path.display()
                    );
                    links += 1;
                }
                Some("data") => {
                    let filed_under = directory.file_name().expect("a digest").to_string_lossy();
                    let found = sha256(&fs::read(&path).expect("a readable blob"));
                    assert_eq!(found, format!("sha256:{filed_under}"), "{}", path.display());
                    blobs += 1;
                }
                // A crash may leave a temporary file; it must only never be taken for the thing itself.
                _ => {}
            }
        }
    }
    (links, blobs)
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
