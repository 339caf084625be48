//! One guest: a User Mode Linux process with a kernel, a network stack and caches of its own.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{helpers::Helpers, network::Network};
use crate::guest;

/// How long a guest may take to boot on a busy machine.
const BOOT: Duration = Duration::from_secs(120);
/// How long a command in a guest may take.
const COMMAND: Duration = Duration::from_secs(150);

/// What makes a guest; it can be booted again after a power cut.
pub(super) struct GuestPlan {
    pub(super) name: &'static str,
    pub(super) role: &'static str,
    /// The last number of its addresses.
    pub(super) number: u8,
    /// Disk image of the server.
    pub(super) disk: Option<PathBuf>,
    pub(super) devices: [String; 2],
}

impl GuestPlan {
    /// Its address on the network of control and HTTP, with a port.
    pub(super) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 31, 0, self.number], port))
    }
}

/// A booted guest; ends with its owner.
pub(crate) struct Guest {
    plan: GuestPlan,
    agent: SocketAddr,
    machine: Option<Machine>,
}

struct Machine {
    uml: Child,
    wakeup: Child,
}

/// Where a guest boots from and writes to.
pub(super) struct Place<'a> {
    pub(super) tree: &'a Path,
    pub(super) helpers: &'a Helpers,
    /// The directory that all guests see.
    pub(super) share: &'a Path,
    pub(super) network: &'a Network,
}

impl Guest {
    /// A guest that is not booted yet; `agent` is the port of the host that leads to its agent.
    pub(super) fn new(plan: GuestPlan, agent: SocketAddr) -> Self {
        Self { plan, agent, machine: None }
    }

    /// Switches it on. Call [`Guest::wait_until_up`] then.
    pub(super) fn boot(&mut self, place: &Place<'_>) {
        assert!(self.machine.is_none(), "the guest {} runs already", self.plan.name);
        let _ = fs::remove_file(place.share.join(format!("{}.started", self.plan.name)));
        let [control, storage] = &self.plan.devices;
        let console = File::options().create(true).append(true).open(self.console(place.share));
        let setpriv = place.network.command("setpriv");
        let mut command = guest::boots(setpriv, place.tree, place.share, self.plan.name);
        command.args(self.plan.disk.iter().map(|disk| format!("ubd0={}", disk.display())));
        for (number, device) in [control, storage].into_iter().enumerate() {
            command.arg(format!("vec{number}:transport=tap,ifname={device},depth=128,gro=1"));
        }
        command.arg(format!("RIG_ROLE={}", self.plan.role));
        command.arg(format!("RIG_CONTROL=10.31.0.{}/24", self.plan.number));
        command.arg(format!("RIG_STORAGE=10.32.0.{}/24", self.plan.number));
        command.env("LD_PRELOAD", &place.helpers.readv);
        // A group of its own: one signal ends the guest with all its processes.
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(console.expect("a log file"))
            .stderr(Stdio::null());
        let uml = command.spawn().expect("User Mode Linux starts");
        let wakeup = Command::new(&place.helpers.wakeup)
            .arg(uml.id().to_string())
            .stdin(Stdio::null())
            .spawn()
            .expect("the helper that was just compiled starts");
        self.machine = Some(Machine { uml, wakeup });
    }

    /// Waits for its agent, and insists that its role has started.
    pub(super) fn wait_until_up(&self, share: &Path) {
        let deadline = Instant::now() + BOOT;
        while self.try_run("true").is_none_or(|answer| answer != Ok(String::new())) {
            assert!(
                Instant::now() < deadline,
                "{} does not boot; {}",
                self.plan.name,
                self.last_words(share)
            );
            thread::sleep(Duration::from_millis(100));
        }
        let started = fs::read_to_string(share.join(format!("{}.started", self.plan.name)));
        assert_eq!(started.expect("written before the agent listens"), "0\n", "{}", self.last_words(share));
    }

    /// Runs a line of shell in it and insists on success; returns what it said.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        match self.try_run(line) {
            Some(Ok(output)) => output,
            Some(Err(output)) => panic!("{}: {line}: {output}", self.plan.name),
            None => panic!("{}: no answer to {line}", self.plan.name),
        }
    }

    /// The output of a line of shell, `Err` when it failed; `None` when the guest does not answer.
    fn try_run(&self, line: &str) -> Option<Result<String, String>> {
        let mut agent = TcpStream::connect(self.agent).ok()?;
        agent.set_read_timeout(Some(COMMAND)).expect("not zero");
        agent.write_all(format!("{line}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        agent.read_to_string(&mut answer).ok()?;
        let (output, status) = answer.rsplit_once("exit: ")?;
        Some(if status.trim() == "0" { Ok(output.to_owned()) } else { Err(answer) })
    }

    /// Cuts its power: all that it had not written to the server is gone.
    pub(crate) fn cut_power(&mut self) {
        let Some(Machine { mut uml, mut wakeup }) = self.machine.take() else { return };
        guest::cut_power(&mut uml);
        let _ = wakeup.kill();
        let _ = wakeup.wait();
    }

    /// Stops it where it stands, as a machine that hangs.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let machine = self.machine.as_ref().expect("the guest runs");
        kill_process(Pid::from_child(&machine.uml), signal).expect("our own child can be signalled");
    }

    pub(super) fn plan(&self) -> &GuestPlan {
        &self.plan
    }

    fn console(&self, share: &Path) -> PathBuf {
        share.join(format!("{}.console", self.plan.name))
    }

    /// The end of its kernel's log and of its role's.
    pub(super) fn last_words(&self, share: &Path) -> String {
        let role = share.join(format!("{}.role.log", self.plan.name));
        let texts = [self.console(share), role].map(|path| super::tail(&path, 25));
        format!("--- {}\n{}", self.plan.name, texts.join("\n"))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.cut_power();
    }
}
