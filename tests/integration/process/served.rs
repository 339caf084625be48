//! A running `pakhuis serve`, in plain HTTP on a port of the kernel's choice.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::Router;
use reqwest::{Method, RequestBuilder, Response};

/// The password of `alice`.
pub(super) const PASSWORD: &str = "correct horse";

/// A server; dropping it ends it.
pub(super) struct Served {
    child: Child,
    command: Command,
    directory: tempfile::TempDir,
    address: String,
    client: reqwest::Client,
}

/// `pakhuis`, with nothing of the caller's settings.
pub(super) fn pakhuis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pakhuis"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PAKHUIS_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Waits for `condition`, which a running server brings about.
#[track_caller]
pub(super) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Starts the server and waits until it listens; its address.
fn spawn(command: &mut Command, root: &Path) -> (Child, String) {
    let mut child = command.spawn().unwrap();
    let path = root.join("address");
    wait_for("the server listens", || {
        let gone = child.try_wait().unwrap();
        assert!(gone.is_none(), "{gone:?}: {}", fs::read_to_string(root.join("log")).unwrap());
        path.exists()
    });
    (child, fs::read_to_string(path).unwrap())
}

impl Served {
    /// With `configuration` after what every server needs.
    pub(super) fn start(configuration: &str) -> Self {
        Self::start_with(configuration, |_, _| {})
    }

    /// The same, `change` changing its command; it is given the directory of the server's files.
    pub(super) fn start_with(configuration: &str, change: impl FnOnce(&mut Command, &Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let hash = bcrypt::hash(PASSWORD, 4).unwrap();
        fs::write(root.join("htpasswd"), format!("alice:{hash}\n")).unwrap();
        write_configuration(root, configuration);
        let log = fs::File::create(root.join("log")).unwrap();
        let mut command = pakhuis();
        command.arg("serve").arg("--config").arg(root.join("pakhuis.toml"));
        command.arg("--address-file").arg(root.join("address")).stderr(log);
        change(&mut command, root);
        let (child, address) = spawn(&mut command, root);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { child, command, directory, address, client }
    }

    /// Ends it without a warning, as a crash does, and starts it again on another port.
    pub(super) fn crash_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        fs::remove_file(self.path("address")).unwrap();
        (self.child, self.address) = spawn(&mut self.command, self.directory.path());
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Writes another configuration in place of the one it was started with.
    pub(super) fn reconfigure(&self, configuration: &str) {
        write_configuration(self.directory.path(), configuration);
    }

    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as a service manager does; it leaves with success.
    pub(super) fn stop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        self.wait_for_its_end();
    }

    /// Waits for the end of a server that was asked to stop: asked twice, it would end at once.
    pub(super) fn wait_for_its_end(&mut self) {
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(super) async fn get(&self, path: &str, password: &str) -> Response {
        self.request(Method::GET, path).basic_auth("alice", Some(password)).send().await.unwrap()
    }

    /// Pushes an empty index, which needs nothing else, under `reference`; its digest.
    pub(super) async fn push(&self, repository: &str, reference: &str) -> String {
        let reply = self.put_index(&format!("/v2/{repository}/manifests/{reference}")).await;
        assert_eq!(reply.status(), 201);
        reply.headers()["docker-content-digest"].to_str().unwrap().to_owned()
    }

    /// Puts an empty index to `path`.
    pub(super) async fn put_index(&self, path: &str) -> Response {
        let body =
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        let request = self.request(Method::PUT, path).basic_auth("alice", Some(PASSWORD)).body(body);
        request.header("content-type", "application/vnd.oci.image.index.v1+json").send().await.unwrap()
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Its pages, as a router for a browser.
    pub(super) fn pages(&self) -> Router {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let (client, address) = (client.build().unwrap(), self.address.clone());
        Router::new().fallback(move |request: axum::extract::Request| async move {
            let (parts, body) = request.into_parts();
            let url = format!("http://{address}{}", parts.uri);
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let sent = client.request(parts.method, url).headers(parts.headers).body(body);
            let sent = sent.send().await.unwrap();
            let (status, headers) = (sent.status(), sent.headers().clone());
            (status, headers, sent.bytes().await.unwrap())
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_configuration(directory: &Path, configuration: &str) {
    let text = format!(
        "server.listen = \"127.0.0.1:0\"\nstorage.root = \"volume\"\nauth.htpasswd = \"htpasswd\"\n\
         tls.enabled = false\n{configuration}"
    );
    let path = directory.join("pakhuis.toml");
    fs::write(path.with_extension("new"), text).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}

/// A server of the test's own over hyper: the crate has no other.
pub(super) async fn serve_router(listener: tokio::net::TcpListener, router: axum::Router) {
    let shutdown = tokio_util::sync::CancellationToken::new();
    let _ended = shutdown.clone().drop_guard();
    let config = pakhuis::server::Config { drain_deadline: Duration::ZERO, ..Default::default() };
    pakhuis::server::serve(listener, None, router, config, shutdown).await.unwrap();
}

/// A port that nobody listens on.
pub(super) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
