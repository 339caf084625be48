//! Certificate, authority, users and configuration change under load.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::load::{HUNDRED, Load};
use crate::support::wire::{Kept, Trust};
use crate::support::{Api, Options, TestServer, pakhuis, run, run_with_input};

/// How long a change may take to be seen: certificate and users are looked at every 2 s, the configuration every 5 s;
/// the rest is for a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

struct Files<'a> {
    server: &'a TestServer,
    trust: Trust,
}

impl Files<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.server.directory().join(name)
    }

    /// As `cp` and `mv` do: there is no moment without the file.
    fn replace(&self, name: &str, content: &str) {
        let new = self.path("replacement");
        fs::write(&new, content).expect("a file");
        fs::rename(new, self.path(name)).expect("a file in place of another");
    }

    fn pakhuis(&self, arguments: &[&str], file_option: &str, file: &str) -> Command {
        let mut command = pakhuis();
        command.args(arguments).arg(file_option).arg(self.path(file));
        command
    }

    fn generate(&self, directory: &str) {
        let names = ["cert", "generate", "--name", "localhost", "--name", "127.0.0.1"];
        run(&mut self.pakhuis(&names, "--directory", directory));
    }

    fn log_has(&self, text: &str) -> usize {
        self.server.log().matches(text).count()
    }

    /// Does something, and waits until the log says `text` once more.
    async fn until_logged(&self, text: &str, change: impl FnOnce()) {
        let before = self.log_has(text);
        change();
        let begin = Instant::now();
        while self.log_has(text) == before {
            assert!(begin.elapsed() < SEEN_WITHIN, "{text:?} is not in the log");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The certificate that a new connection is shown; one that the authority did not sign is an error.
    async fn shown(&self) -> Vec<u8> {
        Kept::open(self.server, &self.trust).await.certificate()
    }

    async fn status_of(&self, user: &str, password: &str) -> u16 {
        Api::new(self.server).status_of(user, password).await
    }

    async fn until_status(&self, user: &str, password: &str, status: u16) {
        let begin = Instant::now();
        while self.status_of(user, password).await != status {
            assert!(begin.elapsed() < SEEN_WITHIN, "{user} is never answered {status}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_users_and_configuration_change_under_load_and_no_request_fails() {
    let server = TestServer::start(Options::default());
    let trust = Trust::of(&[server.ca_certificate()]);
    let files = Files { server: &server, trust };
    let mut kept = Kept::open(&server, &files.trust).await;
    let load = Load::begin(&server, HUNDRED).await;

    for round in 0..2 {
        tokio::join!(renew_certificate(&files), change_users(&files, round));
        assert_eq!(kept.get("/v2/").await, 401, "a connection that was there before goes on");
    }
    change_configuration(&files).await;
    assert_eq!(kept.get("/v2/").await, 401);

    let tally = load.end().await;
    tally.assert_all_succeeded(
        "certificate renewed twice, users changed 6 times, a bad certificate and configuration",
    );
    assert!(tally.took > Duration::from_secs(8), "{:?}", tally.took);
}

/// A good one is served to whoever comes next; a bad one is told and not served.
async fn renew_certificate(files: &Files<'_>) {
    let before = files.shown().await;
    files.until_logged("new certificate in service", || files.generate("certs")).await;
    let renewed = files.shown().await;
    assert_ne!(renewed, before);

    let good = fs::read_to_string(files.path("certs/server.crt")).expect("the certificate");
    let cut = &good[..good.len() / 3];
    files.until_logged("new certificate refused", || files.replace("certs/server.crt", cut)).await;
    assert_eq!(files.shown().await, renewed);
    files.replace("certs/server.crt", &good);
}

/// Somebody comes, gets another password, and goes, as an administrator types it.
async fn change_users(files: &Files<'_>, round: usize) {
    let user = format!("guest{round}");
    let (first, second) = ("a first password", "a second password");
    let change = |command: &str, password: &str| {
        let arguments = [command, &user, "--password-stdin"];
        run_with_input(&mut files.pakhuis(&arguments, "--htpasswd", "htpasswd"), password.as_bytes());
    };
    change("add-user", first);
    assert_eq!(files.status_of(&user, first).await, 200, "a user who was just added");
    change("set-password", second);
    assert_eq!(files.status_of(&user, second).await, 200, "a password that was just changed");
    assert_eq!(files.status_of(&user, first).await, 401);
    run(&mut files.pakhuis(&["remove-user", &user, "--yes"], "--htpasswd", "htpasswd"));
    files.until_status(&user, second, 401).await;
}

async fn change_configuration(files: &Files<'_>) {
    let good = fs::read_to_string(files.path("pakhuis.toml")).expect("the configuration");
    let hang_up = || {
        let pid = i32::try_from(files.server.pid()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, Signal::HUP).expect("our own child can be signalled");
    };
    let warning = async || {
        let answer = Api::new(files.server).get("/v2/_catalog").await;
        answer.header("warning").to_owned()
    };
    let changed = |text: &str| good.replace("[registry]", &format!("[registry]\nwarning = {text}"));
    files.replace("pakhuis.toml", &changed("\"until Friday\""));
    files.until_logged("the configuration was read again", hang_up).await;
    assert!(warning().await.contains("until Friday"));
    files.replace("pakhuis.toml", &changed("\"no end"));
    files.until_logged("the changed configuration is refused", hang_up).await;
    assert!(warning().await.contains("until Friday"));
}

/// docs/operations.md, "Another authority": at no time is there a node that does not trust what the server shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authority_changes_while_nodes_trust_both() {
    let server = TestServer::start(Options::default());
    let old = server.ca_certificate().to_owned();
    let files = Files { server: &server, trust: Trust::of(&[&old]) };
    files.generate("certs-new");
    let new = files.path("certs-new/ca.crt");
    let both = files.path("both.crt");
    let read = |path: &Path| fs::read_to_string(path).expect("a certificate");
    fs::write(&both, read(&old) + &read(&new)).expect("a file");

    let (only_old, accepts_both, only_new) = (Trust::of(&[&old]), Trust::of(&[&both]), Trust::of(&[&new]));
    for (trust, trusted) in [(&only_old, true), (&accepts_both, true), (&only_new, false)] {
        assert_eq!(Kept::try_open(&server, trust).await.is_ok(), trusted, "the old certificate");
    }
    files
        .until_logged("new certificate in service", || {
            // The key first: while the two do not fit, the old pair stays in service.
            files.replace("certs/server.key", &read(&files.path("certs-new/server.key")));
            files.replace("certs/server.crt", &read(&files.path("certs-new/server.crt")));
        })
        .await;
    for (trust, trusted) in [(&only_old, false), (&accepts_both, true), (&only_new, true)] {
        assert_eq!(Kept::try_open(&server, trust).await.is_ok(), trusted, "the new certificate");
    }
}
