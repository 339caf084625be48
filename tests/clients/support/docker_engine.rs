//! A docker engine of the test's own, inside a sandbox: data, sockets, containers and swarm are private.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use super::sandbox::{Machine, Sandbox, wait_until};
use super::{TestServer, program};

/// How long dockerd may take to start and to stop; it needs 2 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running dockerd; `docker` run in its machine talks to it.
pub(crate) struct Daemon {
    process: Child,
    cgroup: String,
}

/// A running dockerd and the sandbox it lives in.
pub(crate) struct DockerEngine {
    daemon: Daemon,
    sandbox: Sandbox,
}

impl Daemon {
    /// Starts dockerd in `machine` and waits until it is ready. `cgroup` is a name of its own: the host's control
    /// groups are shared, and a parent can be told apart and removed.
    #[track_caller]
    pub(crate) fn start(machine: &Machine, cgroup: &str, arguments: &[&str]) -> Self {
        program("docker", "docker.io");
        program("dockerd", "docker.io");
        let log = File::options().create(true).append(true).open(machine.path().join("dockerd.log"));
        let log = log.expect("a log file");
        let process = machine
            .command("dockerd")
            .arg("--data-root")
            .arg(machine.path().join("docker"))
            .args(["--cgroup-parent", cgroup])
            .args(arguments)
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("nsenter starts");
        let daemon = Self { process, cgroup: cgroup.to_owned() };
        let is_ready = || machine.run("docker", &["version"]).succeeded();
        assert!(
            wait_until(PATIENCE, is_ready),
            "dockerd is not ready after {PATIENCE:?}:\n{}",
            log_of(machine)
        );
        daemon
    }

    /// Ends it as a service manager does: it ends its containers and undoes its mounts.
    pub(crate) fn stop(&mut self, machine: &Machine) {
        if std::thread::panicking() {
            let log = log_of(machine);
            let lines: Vec<_> = log.lines().collect();
            eprintln!("dockerd said:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        let _ = machine.run("sh", &["-c", "kill -TERM \"$(cat /run/docker.pid)\""]);
        let process = &mut self.process;
        wait_until(PATIENCE, || !matches!(process.try_wait(), Ok(None)));
        let _ = self.process.kill();
        let _ = self.process.wait();
        remove_cgroups(&self.cgroup);
    }
}

fn log_of(machine: &Machine) -> String {
    fs::read_to_string(machine.path().join("dockerd.log")).unwrap_or_default()
}

impl DockerEngine {
    /// An engine that trusts the CA of `server` and is not logged in.
    #[track_caller]
    pub(crate) fn start(server: &TestServer) -> Self {
        let sandbox = Sandbox::start(server);
        let cgroup = format!("pakhuis-clients-{}", server.port());
        let daemon = Daemon::start(&sandbox, &cgroup, &["--bridge", "none", "--iptables=false"]);
        Self { daemon, sandbox }
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
}

impl Deref for DockerEngine {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        self.daemon.stop(&self.sandbox);
    }
}

/// Removes the empty control groups that the engine leaves: one a hierarchy, or one in the unified one; with those of
/// its containers below, after a crash.
fn remove_cgroups(name: &str) {
    fn remove(directory: &Path) {
        for below in fs::read_dir(directory).into_iter().flatten().flatten() {
            if below.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&below.path());
            }
        }
        let _ = fs::remove_dir(directory);
    }
    let root = Path::new("/sys/fs/cgroup");
    remove(&root.join(name));
    for hierarchy in fs::read_dir(root).into_iter().flatten().flatten() {
        remove(&hierarchy.path().join(name));
    }
}
