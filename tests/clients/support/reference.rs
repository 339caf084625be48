//! The registry that ours takes the place of, as its makers build it: Debian's 2.8 and a release of 3.x.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::program::{go_tool, program, run};

/// A release of CNCF Distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// Debian's `docker-registry`, 2.8.
    Two,
    /// 3.1.1, which `.ci/run` installs.
    Three,
}

/// Where a reference listens, and with which files.
pub(super) struct Listening<'a> {
    pub(super) address: SocketAddr,
    pub(super) certificate: &'a Path,
    pub(super) key: &'a Path,
    pub(super) htpasswd: &'a Path,
}

impl Reference {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Two, Self::Three];

    fn command(self) -> Command {
        let mut command = match self {
            Self::Two => program("docker-registry", "docker-registry"),
            Self::Three => go_tool("registry", "github.com/distribution/distribution/v3/cmd/registry"),
        };
        // 3.x reports to a collector on this host unless told otherwise.
        command.env("OTEL_TRACES_EXPORTER", "none");
        command
    }

    /// The server; `directory` is for its configuration.
    pub(super) fn serve(self, directory: &Path, root: &Path, listening: &Listening<'_>) -> Command {
        let http = format!(
            "http:\n  addr: {}\n  secret: not-a-secret\n  tls: {{certificate: {}, key: {}}}\n\
             auth:\n  htpasswd: {{realm: reference, path: {}}}\n",
            quoted(&listening.address.to_string()),
            quoted(&listening.certificate.to_string_lossy()),
            quoted(&listening.key.to_string_lossy()),
            quoted(&listening.htpasswd.to_string_lossy()),
        );
        let mut command = self.command();
        command.arg("serve").arg(configuration(directory, root, &http));
        command
    }

    /// Its garbage collector over a rootdirectory that nobody serves; gives what it said, and insists on success.
    #[track_caller]
    pub(crate) fn garbage_collect(self, root: &Path, flags: &[&str]) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let output = run(&mut self.garbage_collect_command(directory.path(), root, flags));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, whatever comes of it.
    #[track_caller]
    pub(crate) fn try_garbage_collect(self, root: &Path, flags: &[&str]) -> Output {
        let directory = tempfile::tempdir().expect("a directory");
        self.garbage_collect_command(directory.path(), root, flags).output().expect("it starts")
    }

    fn garbage_collect_command(self, directory: &Path, root: &Path, flags: &[&str]) -> Command {
        let mut command = self.command();
        command.arg("garbage-collect").args(flags).arg(configuration(directory, root, ""));
        command
    }
}

fn configuration(directory: &Path, root: &Path, more: &str) -> PathBuf {
    let text = format!(
        "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         \x20 maintenance: {{uploadpurging: {{enabled: false}}}}\n{more}",
        quoted(&root.to_string_lossy()),
    );
    let file = directory.join("config.yml");
    fs::write(&file, text).expect("a configuration file");
    file
}

/// A string that TOML and YAML both read as it is.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
