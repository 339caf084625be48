//! The guest: Debian's systemd as its first process, on a tree that forgets what is written to it.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::guest;
use crate::support::sandbox::wait_until;
use crate::support::{program, run};

/// How long it may take to boot, or a command in it to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A guest that ends with its owner.
pub(super) struct Guest {
    uml: Child,
    commands: Cell<usize>,
    share: tempfile::TempDir,
}

impl Guest {
    /// Boots it. Call [`Guest::run`] then, which waits.
    #[track_caller]
    pub(super) fn boot() -> Self {
        let tree = guest::tree();
        let share = tempfile::Builder::new().prefix("pakhuis-systemd-").tempdir().expect("a directory");
        for name in ["uml", "commands"] {
            fs::create_dir(share.path().join(name)).expect("a directory of the guest");
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/systemd/guest");
        run(program("cp", "coreutils").arg("-a").arg(scripts).arg(share.path()));
        let console = File::create(share.path().join("console")).expect("a log file");
        let mut command = guest::boots(program("setpriv", "util-linux"), &tree, share.path(), "systemd");
        // A group of its own: one signal ends the guest with all its processes.
        command.arg("systemd.unit=agent.service").process_group(0);
        command.stdin(Stdio::null()).stdout(console).stderr(Stdio::null());
        let uml = command.spawn().expect("User Mode Linux starts");
        Self { uml, commands: Cell::new(0), share }
    }

    /// The directory of the host that it sees as /media.
    pub(super) fn share(&self) -> &Path {
        self.share.path()
    }

    /// Runs lines of shell in it and insists that the last one succeeds; what they said.
    #[track_caller]
    pub(super) fn run(&self, lines: &str) -> String {
        let (status, output) = self.try_run(lines);
        assert_eq!(status, 0, "{lines}\n{output}\n{}", self.journal());
        output
    }

    /// The same, which may fail: the exit code of the last line, and what they said.
    #[track_caller]
    pub(super) fn try_run(&self, lines: &str) -> (i32, String) {
        self.commands.set(self.commands.get() + 1);
        let file = |end: &str| self.share().join(format!("commands/{}.{end}", self.commands.get()));
        fs::write(file("new"), lines).expect("a file");
        fs::rename(file("new"), file("sh")).expect("a file");
        let ended = wait_until(PATIENCE, || file("done").exists());
        let said = fs::read(file("out")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).trim_end().to_owned();
        let console = || fs::read_to_string(self.share().join("console")).unwrap_or_default();
        assert!(ended, "no end of {lines}\n{said}\n{}", console());
        let status = fs::read_to_string(file("done")).expect("a status");
        (status.trim().parse().expect("a number"), said)
    }

    /// A property of a unit, as systemd knows it.
    #[track_caller]
    pub(super) fn property(&self, unit: &str, name: &str) -> String {
        self.run(&format!("systemctl show --property {name} --value {unit}"))
    }

    /// What the server and systemd said of it.
    fn journal(&self) -> String {
        self.try_run("journalctl --no-pager --lines 60 --unit pakhuis.service --unit pakhuis.socket").1
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        guest::cut_power(&mut self.uml);
    }
}
