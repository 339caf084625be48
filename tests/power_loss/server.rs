//! The server program on a mounted volume, and a client of it that hides nothing and retries nothing.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::{Client, Method, RequestBuilder, header};
use tempfile::TempDir;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server without TLS and users, which have nothing to do with the volume. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    directory: TempDir,
}

impl Server {
    #[track_caller]
    pub(crate) fn start(storage: &Path) -> Self {
        let directory = TempDir::new().expect("a directory");
        let mut starting = Starting::new(storage, directory);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match starting.listening() {
                Ok(server) => return server,
                Err(not_yet) => starting = not_yet,
            }
            assert!(Instant::now() < deadline, "the server listens within {PATIENCE:?}: {}", starting.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// `ADDRESS:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL; the process is gone afterwards. Its calls on the volume must not hang, or be given up first.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server that does not listen yet: its first start may wait for the volume.
pub(crate) struct Starting {
    child: Option<Child>,
    directory: Option<TempDir>,
    address_file: PathBuf,
}

impl Starting {
    #[track_caller]
    pub(crate) fn new(storage: &Path, directory: TempDir) -> Self {
        let address_file = directory.path().join("address");
        let log = File::create(directory.path().join("log")).expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pakhuis"));
        // The outcome must not depend on what is set where the tests run.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PAKHUIS_") {
                command.env_remove(name);
            }
        }
        command.args(["serve", "--no-auth", "--no-tls", "--listen", "127.0.0.1:0", "--address-file"]);
        command.arg(&address_file).arg("--storage").arg(storage).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("the server program starts");
        Self { child: Some(child), directory: Some(directory), address_file }
    }

    /// The server, when it listens.
    pub(crate) fn listening(mut self) -> Result<Server, Self> {
        let address = fs::read_to_string(&self.address_file).unwrap_or_default();
        if address.is_empty() || TcpStream::connect(&address).is_err() {
            return Err(self);
        }
        match (self.child.take(), self.directory.take()) {
            (Some(child), Some(directory)) => Ok(Server { child, address, directory }),
            _ => Err(self),
        }
    }

    fn log(&self) -> String {
        let file = self.directory.as_ref().map(|directory| directory.path().join("log"));
        file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An answer with its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: String,
    /// For the message when it is not the right one.
    #[expect(dead_code, reason = "shown by Debug")]
    body: Bytes,
}

/// Sends one request to the server at `address`; an error means that there was no whole answer.
pub(crate) async fn send(
    client: &Client,
    address: &str,
    method: Method,
    path: &str,
    with: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> reqwest::Result<Answer> {
    let answer = with(client.request(method, format!("http://{address}{path}"))).send().await?;
    let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let (status, location) = (answer.status().as_u16(), location.unwrap_or_default().to_owned());
    Ok(Answer { status, location, body: answer.bytes().await? })
}
