//! A registry process with TLS, one user and a volume, ended by its id when the test is over.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::reference::{Listening, Reference, quoted};
use crate::program::{program, program_under_test, run, run_with_input};

/// How long a server may take to listen, or to leave after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a test may ask of its server.
pub(crate) struct Options {
    /// The address to listen on; the port is always chosen by the kernel.
    pub(crate) listen: IpAddr,
    /// Names and addresses of the server certificate.
    pub(crate) names: Vec<String>,
    /// The volume; without one, an empty directory that goes away with the server.
    pub(crate) storage_root: Option<PathBuf>,
    /// Whether an index may name manifests that are not there.
    pub(crate) sparse_manifests: bool,
    /// A listening socket to be handed over to the server as systemd does it, in place of `listen`.
    pub(crate) handed_over: Option<TcpListener>,
    /// Text that is added to the section `[server]`.
    pub(crate) extra_server: String,
    /// Text that is added to the section `[auth]`.
    pub(crate) extra_auth: String,
    /// Text that is added at the end of the configuration file.
    pub(crate) extra_configuration: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            names: ["localhost", "127.0.0.1", "registry.test"].map(String::from).to_vec(),
            storage_root: None,
            sparse_manifests: false,
            handed_over: None,
            extra_server: String::new(),
            extra_auth: String::new(),
            extra_configuration: String::new(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pakhuis,
    Reference(Reference),
}

/// A running registry. Dropping it kills the process; when the test is failing the server's log is shown.
pub(crate) struct TestServer {
    kind: Kind,
    child: Option<Child>,
    address: SocketAddr,
    storage_root: PathBuf,
    options: Options,
    certificates: Certificates,
    directory: TempDir,
}

struct Certificates {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl TestServer {
    /// Starts ours.
    #[track_caller]
    pub(crate) fn start(options: Options) -> Self {
        let kind = match std::env::var("PAKHUIS_CLIENTS_SERVER").as_deref() {
            Err(_) | Ok("pakhuis") => Kind::Pakhuis,
            Ok("docker-registry") => Kind::Reference(Reference::Two),
            Ok("registry-3") => Kind::Reference(Reference::Three),
            Ok(other) => {
                panic!("PAKHUIS_CLIENTS_SERVER is pakhuis, docker-registry or registry-3, not {other}")
            }
        };
        Self::start_kind(kind, options)
    }

    /// Starts a release of CNCF Distribution on the same kind of volume.
    #[track_caller]
    pub(crate) fn start_reference(reference: Reference, storage_root: &Path) -> Self {
        Self::start_kind(
            Kind::Reference(reference),
            Options { storage_root: Some(storage_root.to_owned()), ..Options::default() },
        )
    }

    #[track_caller]
    fn start_kind(kind: Kind, options: Options) -> Self {
        let directory = tempfile::Builder::new().prefix("pakhuis-clients-").tempdir().expect("a directory");
        let storage_root = options.storage_root.clone().unwrap_or_else(|| directory.path().join("storage"));
        fs::create_dir_all(&storage_root).expect("a volume");
        let certificates = make_certificates(kind, directory.path(), &options.names);
        make_user(kind, &directory.path().join("htpasswd"));
        let address = match kind {
            // The port is known when the server has written its address file.
            Kind::Pakhuis => SocketAddr::new(options.listen, 0),
            Kind::Reference(_) => free_address(options.listen),
        };
        let mut server = Self { kind, child: None, address, storage_root, options, certificates, directory };
        server.spawn();
        server
    }

    /// `ADDRESS:PORT`, as a client writes it in front of a repository.
    pub(crate) fn host_port(&self) -> String {
        self.address.to_string()
    }

    /// The port, for tests that reach the server by another name of its certificate.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `https://ADDRESS:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The file with the CA certificate that a client has to trust.
    pub(crate) fn ca_certificate(&self) -> &Path {
        &self.certificates.ca
    }

    /// The one user.
    #[expect(clippy::unused_self, reason = "a test should not care where the name comes from")]
    pub(crate) fn username(&self) -> &'static str {
        "alice"
    }

    /// The password of the one user.
    #[expect(clippy::unused_self, reason = "a test should not care where the password comes from")]
    pub(crate) fn password(&self) -> &'static str {
        "correct horse battery staple"
    }

    /// The storage root that the server was given (registry:2's rootdirectory).
    pub(crate) fn storage_root(&self) -> &Path {
        &self.storage_root
    }

    /// A directory for the test's own files; it goes away with the server.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id of the running server.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server is running").id()
    }

    /// `VmHWM`: the most memory that the process has ever had resident.
    #[track_caller]
    pub(crate) fn peak_kibibytes(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Everything the server has said so far, over all its starts.
    pub(crate) fn log(&self) -> String {
        fs::read(self.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// SIGKILL: what a crash of the process leaves on the volume.
    #[track_caller]
    pub(crate) fn kill_9(&mut self) {
        let mut child = self.child.take().expect("the server is running");
        child.kill().expect("our own child can be killed");
        child.wait().expect("our own child can be waited for");
    }

    /// The exit status after SIGTERM.
    #[track_caller]
    fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server is running");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("our own child can be signalled");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("our own child can be waited for") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server was still there {PATIENCE:?} after SIGTERM");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, and ours must leave with success (the reference dies of the signal).
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        let status = self.terminate();
        assert!(status.success() || self.kind != Kind::Pakhuis, "after SIGTERM: {status}");
    }

    /// Starts it again on the same port and volume, after `kill_9` or `stop`; stops it first if it runs.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
        self.spawn();
    }

    #[track_caller]
    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        let address_file = self.directory.path().join("address");
        let _ = fs::remove_file(&address_file);
        let mut command = match self.kind {
            Kind::Pakhuis => self.pakhuis_command(&address_file),
            Kind::Reference(reference) => self.reference_command(reference),
        };
        if self.kind != Kind::Pakhuis {
            command.stdin(Stdio::null());
        }
        command
            .current_dir(self.directory.path())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        self.child = Some(command.spawn().expect("the server program starts"));
        self.wait_until_listening(&address_file);
    }

    #[track_caller]
    fn wait_until_listening(&mut self, address_file: &Path) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.is_listening(address_file) {
                return;
            }
            let gone = self.child.as_mut().expect("just started").try_wait().expect("our own child");
            if let Some(status) = gone {
                self.child = None;
                panic!("the server ended at once: {status}");
            }
            assert!(Instant::now() < deadline, "the server does not listen within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_listening(&mut self, address_file: &Path) -> bool {
        if self.kind == Kind::Pakhuis {
            let written = fs::read_to_string(address_file).unwrap_or_default();
            let Ok(address) = written.trim().parse() else { return false };
            self.address = address;
        }
        TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok()
    }

    fn pakhuis_command(&self, address_file: &Path) -> Command {
        let configuration = format!(
            "[server]\nlisten = {}\n{}\n\n[storage]\nroot = {}\n\n[auth]\nhtpasswd = {}\n{}\n\
             [tls]\ncertificate = {}\nkey = {}\n\n[registry]\nsparse_manifests = {}\n{}",
            quoted(&self.address.to_string()),
            self.options.extra_server,
            quoted(&self.storage_root.to_string_lossy()),
            quoted(&self.directory.path().join("htpasswd").to_string_lossy()),
            self.options.extra_auth,
            quoted(&self.certificates.certificate.to_string_lossy()),
            quoted(&self.certificates.key.to_string_lossy()),
            self.options.sparse_manifests,
            self.options.extra_configuration,
        );
        let file = self.directory.path().join("pakhuis.toml");
        fs::write(&file, configuration).expect("a configuration file");
        let mut command = self.options.handed_over.as_ref().map_or_else(pakhuis, with_socket);
        command.arg("serve").arg("--config").arg(file).arg("--address-file").arg(address_file);
        command
    }

    fn reference_command(&self, reference: Reference) -> Command {
        let listening = Listening {
            address: self.address,
            certificate: &self.certificates.certificate,
            key: &self.certificates.key,
            htpasswd: &self.directory.path().join("htpasswd"),
        };
        reference.serve(self.directory.path(), &self.storage_root, &listening)
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(200)..];
            eprintln!("--- log of the server (last 200 lines) ---\n{}\n--- end of log ---", tail.join("\n"));
        }
    }
}

/// The header value with which a user signs in.
pub(crate) fn basic_authorization((user, password): (&str, &str)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// As `pakhuis cert show` tells it, without the colons.
#[track_caller]
pub(crate) fn fingerprint(certificate: &Path) -> String {
    let mut openssl = program("openssl", "openssl");
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(certificate);
    let said = String::from_utf8_lossy(&run(&mut openssl).stdout).into_owned();
    said.split('=').next_back().unwrap_or_default().trim().replace(':', "")
}

pub(crate) fn pakhuis() -> Command {
    without_settings(Command::new(program_under_test()))
}

/// As `sd_listen_fds(3)` describes: the socket is file descriptor 3, and the environment tells whose it is.
fn with_socket(socket: &TcpListener) -> Command {
    let mut command = without_settings(Command::new("sh"));
    let script = r#"exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@""#;
    command.args(["-c", script, "sh"]).arg(program_under_test());
    command.stdin(OwnedFd::from(socket.try_clone().expect("a second handle")));
    command
}

fn without_settings(mut command: Command) -> Command {
    command.stdin(Stdio::null());
    // The outcome must not depend on what is set in the terminal of the person who runs the tests.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PAKHUIS_") {
            command.env_remove(name);
        }
    }
    command
}

/// Ours come from our own command, so that every client checks what `cert generate` makes.
#[track_caller]
fn make_certificates(kind: Kind, directory: &Path, names: &[String]) -> Certificates {
    let directory = directory.join("certs");
    if kind != Kind::Pakhuis {
        return issue_certificates(&directory, names);
    }
    let mut command = pakhuis();
    command.args(["cert", "generate", "--directory"]).arg(&directory);
    for name in names {
        command.args(["--name", name]);
    }
    run(&mut command);
    let only = |extension: &str| {
        let found: Vec<_> = fs::read_dir(&directory)
            .expect("cert generate makes its directory")
            .map(|entry| entry.expect("a readable directory").path())
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .filter(|path| path.file_stem().is_some_and(|stem| stem != "ca"))
            .collect();
        let [path] = found.as_slice() else { panic!("one server .{extension} expected, found {found:?}") };
        path.clone()
    };
    Certificates { ca: directory.join("ca.crt"), certificate: only("crt"), key: only("key") }
}

/// A CA and a server certificate for the reference, which cannot make its own.
fn issue_certificates(directory: &Path, names: &[String]) -> Certificates {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

    fs::create_dir_all(directory).expect("a directory");
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca_parameters = CertificateParams::default();
    ca_parameters.distinguished_name.push(DnType::CommonName, "CA of a test");
    ca_parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca_parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = ca_parameters.self_signed(&ca_key).expect("a certificate");
    let issuer = Issuer::new(ca_parameters, ca_key);
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(names.to_vec())
        .and_then(|parameters| parameters.signed_by(&key, &issuer))
        .expect("a certificate");

    let made = Certificates {
        ca: directory.join("ca.crt"),
        certificate: directory.join("server.crt"),
        key: directory.join("server.key"),
    };
    fs::write(&made.ca, ca.pem()).expect("a file");
    fs::write(&made.certificate, leaf.pem() + &ca.pem()).expect("a file");
    fs::write(&made.key, key.serialize_pem()).expect("a file");
    made
}

/// Ours by our own command; the reference's by Apache's, whose file both must be able to read.
#[track_caller]
fn make_user(kind: Kind, htpasswd: &Path) {
    let password = b"correct horse battery staple";
    match kind {
        Kind::Pakhuis => {
            let mut command = pakhuis();
            command.args(["add-user", "alice", "--password-stdin", "--htpasswd"]).arg(htpasswd);
            run_with_input(&mut command, password);
        }
        Kind::Reference(_) => {
            let mut command = program("htpasswd", "apache2-utils");
            command.args(["-i", "-B", "-C", "5", "-c"]).arg(htpasswd).arg("alice");
            run_with_input(&mut command, password);
        }
    }
}

/// An address that was free a moment ago: the reference cannot tell which port the kernel gave it.
fn free_address(address: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).expect("a free port");
    listener.local_addr().expect("a bound listener has an address")
}
