//! A volume that hangs: a FUSE file system whose program is stopped, so that every call on it waits.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use crate::{
    running_upload::RunningUpload,
    storm::{AT_ONCE, DEADLINE, REPOSITORY, Status, TAG, slowest, storm},
    support::{
        client::Client,
        image::Image,
        registry::{pull, push, wait_for},
        server::Server,
        stoppable::StoppableVolume,
    },
};

const REQUESTS: usize = 500;

/// Requests in the middle of their body when it begins, more than the server has async threads.
const RUNNING: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_hangs_and_comes_back() {
    let volume = StoppableVolume::new();
    let users = tempfile::tempdir().expect("a directory");
    let htpasswd = users.path().join("htpasswd");
    add_user(&htpasswd);
    let server = Server::with_sign_in(volume.root(), &htpasswd);
    let _goes_on = volume.goes_on_at_the_end();
    let client = server.client().signed_in("alice", "correct horse battery staple");
    let (image, after) = (Image::new(1, 300_000, None), Image::new(2, 300_000, None));
    push(&client, REPOSITORY, TAG, &image).await.expect("a push before");
    let upload = client.send("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), b"").await;
    let upload = upload.header("location").to_owned();
    let begun = (0..RUNNING).map(|_| RunningUpload::begin(&client, REPOSITORY, volume.root()));
    let mut running = join_all(begun).await;
    let before = Status::of(server.pid());
    println!("hung: before: {before:?}");

    volume.stop();
    let stopped = Instant::now();
    let first = tokio::spawn(storm(client.clone(), image.clone(), REQUESTS));
    wait_for("/readyz to say that it hangs", || async {
        needs_no_volume(&client).await;
        let asked = Instant::now();
        client.send("GET", "/readyz", b"").await.status == 503 && asked.elapsed() < AT_ONCE
    })
    .await;
    println!("hung: /readyz is red at once after {:.1} s", stopped.elapsed().as_secs_f64());
    // What they hold is let go: closing a file waits for the volume too.
    for told in join_all(running.iter_mut().map(RunningUpload::told)).await {
        assert!(matches!(told, None | Some(503)), "a running upload is refused: {told:?}");
    }
    needs_no_volume(&client).await;
    // Known to hang: everything is refused at once, and no thread is added.
    let begun = Instant::now();
    let second = storm(client.clone(), image.clone(), REQUESTS).await;
    println!(
        "hung: {REQUESTS} requests then: slowest {:.2} s of {:.2} s",
        slowest(&second),
        begun.elapsed().as_secs_f64()
    );
    assert!(second.iter().all(|told| told.status() == 503 && told.is_right(&image)), "503 with Retry-After");
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
    assert!(first.iter().all(|told| told.status() == 503 && told.is_right(&image)), "503 with Retry-After");
    assert!(slowest(&first) < DEADLINE.as_secs_f64(), "answered within the deadline");
    most.assert_bounded(&before);

    volume.go_on();
    let back = Instant::now();
    wait_for("/readyz to be green", || async { client.send("GET", "/readyz", b"").await.status == 200 })
        .await;
    println!(
        "hung: ready {:.1} s after the volume came back, without a restart",
        back.elapsed().as_secs_f64()
    );
    pull(&client, REPOSITORY, TAG, &image).await.expect("what was there is there");
    push(&client, REPOSITORY, "after", &after).await.expect("a push");
    pull(&client, REPOSITORY, "after", &after).await.expect("a pull");
    for (number, upload) in running.iter().enumerate() {
        upload.finish(&client, format!("running {number}").as_bytes()).await;
    }
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

fn add_user(htpasswd: &Path) {
    use std::io::Write as _;
    let mut command = Command::new(env!("CARGO_BIN_EXE_pakhuis"));
    command.args(["add-user", "alice", "--password-stdin", "--htpasswd"]).arg(htpasswd);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("our program");
    let password = b"correct horse battery staple";
    child.stdin.take().expect("piped").write_all(password).expect("a password is read");
    assert!(child.wait().expect("our child").success(), "a user is added");
}
