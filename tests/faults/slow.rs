//! A volume that is slow: each call takes 200 ms, or one call takes ten seconds.
//!
//! Looking a name up is as fast as ever: a client of NFS has most of them in its memory.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{
    storm::{AT_ONCE, DEADLINE, REPOSITORY, Status, TAG, slowest, storm},
    strict_file_system::{
        Mount, StrictFileSystem,
        faults::{Effect, Fault, Operation},
    },
    support::{
        client::Client,
        image::Image,
        registry::{pull, push, wait_for},
        server::Server,
        volume::examine_tree,
    },
};

/// What goes to the file server.
const CALLS: &[Operation] = &[
    Operation::SetAttributes,
    Operation::Open,
    Operation::Create,
    Operation::Read,
    Operation::Write,
    Operation::Truncate,
    Operation::Flush,
    Operation::OpenDirectory,
    Operation::List,
    Operation::FlushDirectory,
    Operation::MakeDirectory,
    Operation::Remove,
    Operation::RemoveDirectory,
    Operation::Rename,
    Operation::Link,
    Operation::Space,
];

const EACH: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(10);

/// Requests at once. The file system does 16 calls at a time, so they wait for each other.
const REQUESTS: usize = 70;

/// A server with one image, on a volume that can be slowed down.
struct Registry {
    mount: Arc<Mount>,
    server: Server,
    client: Client,
    image: Image,
    _directory: TempDir,
}

impl Registry {
    async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("pakhuis-slow-").tempdir().expect("a directory");
        let mount = Arc::new(StrictFileSystem::new().mount(directory.path()));
        let server = Server::plain(mount.path());
        let (client, image) = (server.client(), Image::new(1, 300_000, None));
        push(&client, REPOSITORY, TAG, &image).await.expect("a push before");
        Self { mount, server, client, image, _directory: directory }
    }

    fn slow_down(&self, fault: Fault) {
        self.mount.gate().add(fault);
    }

    /// The highest use of threads and memory from now until it is stopped, while `/healthz` answers at once.
    fn watch(&self) -> JoinHandle<Status> {
        let (client, pid, mount) = (self.client.clone(), self.server.pid(), self.mount.clone());
        tokio::spawn(async move {
            let mut most = Status::of(pid);
            while mount.gate().is_faulty() {
                let asked = Instant::now();
                assert_eq!(client.send("GET", "/healthz", b"").await.status, 200, "alive");
                assert!(asked.elapsed() < AT_ONCE, "/healthz took {:?}", asked.elapsed());
                most.raise(&Status::of(pid));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            most
        })
    }

    /// All is as if nothing had been.
    async fn is_healthy(&self) {
        self.mount.gate().clear();
        wait_for("/readyz to be green", || async {
            self.client.send("GET", "/readyz", b"").await.status == 200
        })
        .await;
        let after = Image::new(3, 300_000, None);
        pull(&self.client, REPOSITORY, TAG, &self.image).await.expect("what was there is there");
        push(&self.client, REPOSITORY, "after", &after).await.expect("a push");
        pull(&self.client, REPOSITORY, "after", &after).await.expect("a pull");
        wait_for("nothing to be left behind", || async {
            let findings = examine_tree(&self.mount.path().join("docker/registry/v2"));
            assert!(findings.broken.is_empty(), "{findings:?}");
            findings.left.is_empty()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_on_which_each_call_is_slow() {
    let registry = Registry::start().await;
    let (client, during) = (&registry.client, Image::new(2, 300_000, None));
    let before = Status::of(registry.server.pid());
    registry.slow_down(Fault::always(CALLS, Effect::Delay(EACH)));
    let watch = registry.watch();

    let begun = Instant::now();
    push(client, REPOSITORY, "during", &during).await.expect("a push goes through");
    let pushed = begun.elapsed();
    pull(client, REPOSITORY, "during", &during).await.expect("and so does a pull");
    println!(
        "slow: {EACH:?} a call: pushed in {:.1} s, pulled in {:.1} s",
        pushed.as_secs_f64(),
        (begun.elapsed() - pushed).as_secs_f64()
    );

    let told = storm(client.clone(), registry.image.clone(), REQUESTS).await;
    let refused = told.iter().filter(|told| told.status() == 503).count();
    println!("slow: {REQUESTS} requests at once: slowest {:.1} s, {refused} answered 503", slowest(&told));
    for told in &told {
        assert!(told.is_right(&registry.image), "{:?}", told.answer);
    }
    assert!(slowest(&told) < DEADLINE.as_secs_f64(), "answered within the deadline");
    registry.mount.gate().clear();
    let most = watch.await.expect("alive all the time");
    println!("slow: before {before:?}, at most {most:?}");
    most.assert_bounded(&before);
    for upload in told.iter().filter_map(|told| told.upload()) {
        assert_eq!(client.send("DELETE", upload, b"").await.status, 204, "an upload that was begun");
    }
    registry.is_healthy().await;
}

/// Calls of a push.
const OF_A_PUSH: [Operation; 9] = [
    Operation::SetAttributes,
    Operation::Open,
    Operation::Create,
    Operation::Write,
    Operation::Flush,
    Operation::FlushDirectory,
    Operation::MakeDirectory,
    Operation::Remove,
    Operation::Rename,
];

/// Pushes at most, until the slow call is one of the push's own and not of what the server writes by itself meanwhile.
const PUSHES: u64 = 4;

/// The push waits for it and goes through; a pull meanwhile does not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_on_which_one_call_of_a_push_takes_ten_seconds() {
    join_all(OF_A_PUSH.iter().map(one_call_is_slow)).await;
}

async fn one_call_is_slow(operation: &'static Operation) {
    for number in 0..PUSHES {
        let registry = Registry::start().await;
        let (client, during) = (registry.client.clone(), Image::new(2 + number, 3_000, None));
        registry.slow_down(Fault::once(std::slice::from_ref(operation), Effect::Delay(LONG)));
        let begun = Instant::now();
        let pushed = tokio::spawn(async move {
            push(&client, "team/other", "during", &during).await.map(|()| (client, during, begun.elapsed()))
        });
        wait_for("the slow call", || async { registry.mount.gate().met() > 0 }).await;
        let asked = Instant::now();
        pull(&registry.client, REPOSITORY, TAG, &registry.image).await.expect("a pull meanwhile");
        let pulled = asked.elapsed();
        let pushed = pushed.await.expect("no panic");
        let (client, during, took) = pushed.unwrap_or_else(|error| panic!("{operation:?}: {error}"));
        pull(&client, "team/other", "during", &during).await.expect("what was pushed");
        registry.is_healthy().await;
        println!(
            "slow: one {operation:?} of {LONG:?}: pushed in {:.1} s, pulled meanwhile in {:.2} s",
            took.as_secs_f64(),
            pulled.as_secs_f64()
        );
        assert!(took < LONG * 2, "{operation:?}: the push took {took:?}");
        assert!(pulled < AT_ONCE, "{operation:?}: the pull took {pulled:?}");
        if took >= LONG {
            return;
        }
    }
    panic!("{operation:?}: no push of {PUSHES} waited");
}

/// The question how the volume is has no answer for ten seconds: from the fifth on it counts as hung, until it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_does_not_say_for_ten_seconds_how_it_is() {
    let registry = Registry::start().await;
    registry.slow_down(Fault::once(&[Operation::Space], Effect::Delay(LONG)));
    wait_for("/readyz to be red", || async {
        registry.client.send("GET", "/readyz", b"").await.status == 503
    })
    .await;
    let told = storm(registry.client.clone(), registry.image.clone(), REQUESTS).await;
    assert!(told.iter().all(|told| told.status() == 503 && told.is_right(&registry.image)), "refused");
    assert!(slowest(&told) < AT_ONCE.as_secs_f64(), "at once");
    wait_for("a pull", || async { pull(&registry.client, REPOSITORY, TAG, &registry.image).await.is_ok() })
        .await;
    registry.is_healthy().await;
}
