//! A docker engine of the test's own, inside a sandbox: data, sockets, containers and swarm are private.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::sandbox::{Sandbox, wait_until};
use super::{TestServer, program};

/// How long dockerd may take to start and to stop; it needs 2 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running dockerd and the sandbox it lives in; `docker` run in the sandbox talks to it.
pub(crate) struct DockerEngine {
    daemon: Child,
    cgroup: String,
    sandbox: Sandbox,
}

impl DockerEngine {
    /// An engine that trusts the CA of `server` and is not logged in.
    #[track_caller]
    pub(crate) fn start(server: &TestServer) -> Self {
        program("docker", "docker.io");
        program("dockerd", "docker.io");
        let sandbox = Sandbox::start(server);
        // The host's control groups are shared: a parent of its own can be told apart and removed.
        let cgroup = format!("pakhuis-clients-{}", server.port());
        let log = File::create(sandbox.path().join("dockerd.log")).expect("a log file");
        let daemon = sandbox
            .command("dockerd")
            .arg("--data-root")
            .arg(sandbox.path().join("docker"))
            .args(["--bridge", "none", "--iptables=false", "--cgroup-parent", &cgroup])
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("nsenter starts");
        let engine = Self { daemon, cgroup, sandbox };
        assert!(
            wait_until(PATIENCE, || engine.is_ready()),
            "dockerd is not ready after {PATIENCE:?}:\n{}",
            engine.log()
        );
        engine
    }

    /// Runs `docker` with words separated by spaces, and insists on success; trimmed standard output.
    #[track_caller]
    pub(crate) fn docker(&self, arguments: &str) -> String {
        self.ok(&format!("docker {arguments}"))
    }

    /// Runs `docker` with words separated by spaces, and insists on failure with one of `any_of`.
    #[track_caller]
    pub(crate) fn docker_refused(&self, arguments: &str, any_of: &[&str]) {
        self.refused(&format!("docker {arguments}"), any_of);
    }

    fn is_ready(&self) -> bool {
        self.command("docker")
            .arg("version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("dockerd.log")).unwrap_or_default()
    }
}

impl Deref for DockerEngine {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("dockerd said:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        // Its own pid file: dockerd then ends its containers and undoes its mounts.
        let _ = self.run("sh", &["-c", "kill -TERM \"$(cat /run/docker.pid)\""]);
        let daemon = &mut self.daemon;
        wait_until(PATIENCE, || !matches!(daemon.try_wait(), Ok(None)));
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        remove_cgroups(&self.cgroup);
    }
}

/// Removes the empty control groups that the engine leaves: one a hierarchy, or one in the unified one.
fn remove_cgroups(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let _ = fs::remove_dir(root.join(name));
    for hierarchy in fs::read_dir(root).into_iter().flatten().flatten() {
        let _ = fs::remove_dir(hierarchy.path().join(name));
    }
}
