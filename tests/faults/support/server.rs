//! A registry process without sign-in and TLS on a volume of the test, under trace or not.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{client::Client, tracer::Tracer};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

enum Process {
    Traced(Tracer),
    Plain(Child),
}

/// A running server. Dropping it kills the process; when the test is failing its log is shown.
pub(crate) struct Server {
    process: Option<Process>,
    traced: bool,
    uid: Option<u32>,
    arguments: Vec<String>,
    root: PathBuf,
    directory: TempDir,
    client: Option<Client>,
}

impl Server {
    /// Under trace, on the volume `root`.
    pub(crate) fn traced(root: &Path) -> Self {
        Self::start(root, true, None, &["--no-auth"])
    }

    /// As it is, on the volume `root`.
    pub(crate) fn plain(root: &Path) -> Self {
        Self::start(root, false, None, &["--no-auth"])
    }

    /// As an ordinary user.
    pub(crate) fn as_user(root: &Path, uid: u32) -> Self {
        Self::start(root, false, Some(uid), &["--no-auth"])
    }

    /// With one user, `alice`, as whom the pages can be asked to sign in.
    pub(crate) fn with_sign_in(root: &Path, htpasswd: &Path) -> Self {
        Self::start(root, false, None, &["--htpasswd", htpasswd.to_str().expect("a path in UTF-8")])
    }

    /// With what a configuration file says besides.
    pub(crate) fn configured(root: &Path, file: &Path) -> Self {
        let file = file.to_str().expect("a path in UTF-8");
        Self::start(root, false, None, &["--no-auth", "--config", file])
    }

    fn start(root: &Path, traced: bool, uid: Option<u32>, arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("pakhuis-faults-").tempdir().expect("a directory");
        if uid.is_some() {
            rustix::fs::chown(directory.path(), uid.map(rustix::fs::Uid::from_raw), None).expect("root");
        }
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server =
            Self { process: None, traced, uid, arguments, root: root.to_path_buf(), directory, client: None };
        server.restart();
        server
    }

    /// Kills it, if it runs, and starts it again on the same volume.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let address_file = self.directory.path().join("address");
        let _ = fs::remove_file(&address_file);
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pakhuis"));
        for (name, _) in std::env::vars_os() {
            // The outcome must not depend on what is set in the terminal of the person who runs the tests.
            if name.to_string_lossy().starts_with("PAKHUIS_") {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--no-tls", "--listen", "127.0.0.1:0", "--log-format", "text", "--storage"])
            .arg(&self.root)
            .arg("--address-file")
            .arg(&address_file)
            .args(&self.arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        self.process = Some(if self.traced {
            Process::Traced(Tracer::spawn(command, &self.root))
        } else {
            Process::Plain(command.spawn().expect("the server program starts"))
        });
        let deadline = Instant::now() + PATIENCE;
        let address = loop {
            match fs::read_to_string(&address_file) {
                Ok(address) if !address.is_empty() => break address,
                _ => assert!(Instant::now() < deadline, "no server within {PATIENCE:?}:\n{}", self.log()),
            }
            thread::sleep(Duration::from_millis(3));
        };
        self.client = Some(Client::new(&address));
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(Process::Plain(mut child)) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone().expect("a server that runs")
    }

    pub(crate) fn tracer(&self) -> &Tracer {
        match &self.process {
            Some(Process::Traced(tracer)) => tracer,
            _ => panic!("this server is not traced"),
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        match &self.process {
            Some(Process::Traced(tracer)) => tracer.pid(),
            Some(Process::Plain(child)) => i32::try_from(child.id()).expect("a process id"),
            None => panic!("this server does not run"),
        }
    }

    /// What it has said so far, over all its starts.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(60)..];
            eprintln!("--- log of the server (last 60 lines) ---\n{}\n--- end of log ---", tail.join("\n"));
        }
    }
}
