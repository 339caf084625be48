//! A volume that hangs: a FUSE file system whose program is stopped, so that every call on it waits.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{
    client::Client,
    image::{Image, MANIFEST, sha256},
    program::program,
    registry::{pull, push, wait_for},
    server::Server,
};

const REPOSITORY: &str = "team/app";
const REQUESTS: usize = 500;

/// The deadline of a call, and some for a machine with other work.
const DEADLINE: Duration = Duration::from_secs(45);
/// What needs no volume is answered in well under this.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Places for calls of each of three kinds, and the threads that a server has anyway.
const MOST_THREADS: usize = 3 * 64 + 40;
/// What 500 requests may add.
const MOST_MEMORY_KIB: u64 = 64 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_hangs_and_comes_back() {
    let volume = StoppableVolume::new();
    let users = tempfile::tempdir().expect("a directory");
    let htpasswd = users.path().join("htpasswd");
    add_user(&htpasswd);
    let server = Server::with_sign_in(volume.root(), &htpasswd);
    let client = server.client().signed_in("alice", "correct horse battery staple");
    let (image, after) = (Image::new(1, 300_000, None), Image::new(2, 300_000, None));
    push(&client, REPOSITORY, "before", &image).await.expect("a push before");
    let upload = client.send("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), b"").await;
    let upload = upload.header("location").to_owned();
    let before = Status::of(server.pid());
    println!("hung: before: {before:?}");

    volume.stop();
    let stopped = Instant::now();
    let first = tokio::spawn(storm(client.clone(), image.clone()));
    wait_for("/readyz to say that it hangs", || async {
        needs_no_volume(&client).await;
        let asked = Instant::now();
        client.send("GET", "/readyz", b"").await.status == 503 && asked.elapsed() < AT_ONCE
    })
    .await;
    println!("hung: /readyz is red at once after {:.1} s", stopped.elapsed().as_secs_f64());
    // Known to hang: everything is refused at once, and no thread is added.
    let begun = Instant::now();
    let second = storm(client.clone(), image.clone()).await;
    println!(
        "hung: {REQUESTS} requests then: slowest {:.2} s of {:.2} s",
        slowest(&second),
        begun.elapsed().as_secs_f64()
    );
    assert!(second.iter().all(|(status, _)| *status == 503), "{second:?}");
    assert!(slowest(&second) < 10.0, "refused at once");
    let mut most = Status::of(server.pid());
    while !first.is_finished() {
        needs_no_volume(&client).await;
        most.raise(&Status::of(server.pid()));
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(stopped.elapsed() < DEADLINE * 2, "the first requests hang");
    }
    let first = first.await.expect("the first requests");
    println!("hung: {REQUESTS} requests as it began: slowest {:.1} s; at most {most:?}", slowest(&first));
    assert!(first.iter().all(|(status, _)| *status == 503), "{first:?}");
    assert!(slowest(&first) < DEADLINE.as_secs_f64(), "answered within the deadline");
    assert!(most.threads <= MOST_THREADS, "{most:?}");
    assert!(most.memory_kib <= before.memory_kib + MOST_MEMORY_KIB, "{before:?}, then {most:?}");

    volume.go_on();
    let back = Instant::now();
    wait_for("/readyz to be green", || async { client.send("GET", "/readyz", b"").await.status == 200 })
        .await;
    println!(
        "hung: ready {:.1} s after the volume came back, without a restart",
        back.elapsed().as_secs_f64()
    );
    pull(&client, REPOSITORY, "before", &image).await.expect("what was there is there");
    push(&client, REPOSITORY, "after", &after).await.expect("a push");
    pull(&client, REPOSITORY, "after", &after).await.expect("a pull");
    let ended = client.send("DELETE", &upload, b"").await;
    assert_eq!(ended.status, 204, "the upload is there: {}", ended.told());
    wait_for("nothing to be left behind", || async {
        let findings = crate::support::volume::examine_tree(&volume.root().join("docker/registry/v2"));
        assert!(findings.broken.is_empty(), "{findings:?}");
        findings.left.is_empty()
    })
    .await;
}

/// What an orchestrator, a person who signs in and the pages ask for, each answered at once.
async fn needs_no_volume(client: &Client) {
    for (path, wanted) in [("/healthz", 200), ("/ui/login", 200), ("/ui/help", 200), ("/v2/", 200)] {
        let asked = Instant::now();
        let answer = client.send("GET", path, b"").await;
        assert_eq!(answer.status, wanted, "{path} while the volume hangs: {}", answer.told());
        assert!(asked.elapsed() < AT_ONCE, "{path} took {:?} while the volume hangs", asked.elapsed());
    }
    let wrong = client.signed_in("alice", "wrong");
    assert_eq!(wrong.send("GET", "/v2/", b"").await.status, 401, "a wrong password is refused");
}

/// Many requests of all kinds at once: status and seconds of each.
async fn storm(client: Client, image: Image) -> Vec<(u16, f64)> {
    let requests = (0..REQUESTS).map(|number| {
        let (client, image) = (client.clone(), image.clone());
        async move {
            let begun = Instant::now();
            let base = format!("/v2/{REPOSITORY}");
            let (method, path, body) = match number % 7 {
                0 => ("HEAD", format!("{base}/blobs/{}", sha256(image.layer())), Vec::new()),
                1 => ("GET", format!("{base}/blobs/{}", sha256(image.layer())), Vec::new()),
                2 => ("GET", format!("{base}/manifests/before"), Vec::new()),
                3 => ("GET", format!("{base}/tags/list"), Vec::new()),
                4 => ("POST", format!("{base}/blobs/uploads/"), Vec::new()),
                5 => ("POST", format!("{base}/blobs/uploads/?digest={}", sha256(b"x")), b"x".to_vec()),
                _ => ("PUT", format!("{base}/manifests/before"), image.manifest.clone()),
            };
            let answer = client.try_send(method, &path, &[("content-type", MANIFEST)], body).await;
            (answer.map_or(0, |answer| answer.status), begun.elapsed().as_secs_f64())
        }
    });
    join_all(requests).await
}

fn slowest(answers: &[(u16, f64)]) -> f64 {
    answers.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max)
}

fn add_user(htpasswd: &Path) {
    use std::io::Write as _;
    let mut command = Command::new(env!("CARGO_BIN_EXE_pakhuis"));
    command.args(["add-user", "alice", "--password-stdin", "--htpasswd"]).arg(htpasswd);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("our program");
    let password = b"correct horse battery staple";
    child.stdin.take().expect("piped").write_all(password).expect("a password is read");
    assert!(child.wait().expect("our child").success(), "a user is added");
}

/// What a process uses, by `/proc/PID/status`.
#[derive(Clone, Copy, Debug)]
struct Status {
    threads: usize,
    memory_kib: u64,
}

impl Status {
    fn of(pid: i32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
        };
        let threads = usize::try_from(number("Threads:")).expect("a small number");
        Self { threads, memory_kib: number("VmRSS:") }
    }

    fn raise(&mut self, other: &Self) {
        self.threads = self.threads.max(other.threads);
        self.memory_kib = self.memory_kib.max(other.memory_kib);
    }
}

/// A FUSE file system that passes everything on to a directory, until its program is stopped.
struct StoppableVolume {
    program: Child,
    mount: PathBuf,
    _directory: TempDir,
}

impl StoppableVolume {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("pakhuis-hung-").tempdir().expect("a directory");
        for name in ["lower", "upper", "work", "mount"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let path = |name: &str| directory.path().join(name).display().to_string();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", path("lower"), path("upper"), path("work"));
        let mount = directory.path().join("mount");
        let program = program("fuse-overlayfs", "fuse-overlayfs")
            .args(["-f", "-o", &options])
            .arg(&mount)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("fuse-overlayfs starts");
        let volume = Self { program, mount, _directory: directory };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !fs::read_to_string("/proc/mounts")
            .is_ok_and(|mounts| mounts.contains(&volume.mount.display().to_string()))
        {
            assert!(
                Instant::now() < deadline,
                "a FUSE file system is mounted; this test needs root and /dev/fuse"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        volume
    }

    fn root(&self) -> &Path {
        &self.mount
    }

    fn stop(&self) {
        kill_process(Pid::from_child(&self.program), Signal::STOP).expect("our own child");
    }

    fn go_on(&self) {
        kill_process(Pid::from_child(&self.program), Signal::CONT).expect("our own child");
    }
}

impl Drop for StoppableVolume {
    fn drop(&mut self) {
        // The server is gone only when its calls come back.
        let _ = self.program.kill();
        let _ = self.program.wait();
        let _ = rustix::mount::unmount(&self.mount, rustix::mount::UnmountFlags::DETACH);
    }
}
