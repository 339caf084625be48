//! A private machine for one client: its own network, mounts, processes, `/etc` and `/run`, in which the
//! registry under test answers at `registry.test` and nothing of the host is changed.
//!
//! Clients look for trust in fixed places (`/etc/docker/certs.d`), and docker verifies no certificate of
//! an address in 127.0.0.0/8, nor of a name that resolves to one. So the client gets namespaces in which
//! `registry.test` is 10.99.0.1, an address that exists only there, and [`Link`] carries its connections
//! to the server on the host's loopback.

use std::fs;
use std::io::Write as _;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::link::Link;
use super::{TestServer, program as find};

/// The name the registry is reached by inside the sandbox; the server's certificate carries it.
pub(crate) const REGISTRY_HOST: &str = "registry.test";

/// The address behind the name, on the sandbox's loopback interface.
const REGISTRY_ADDRESS: [u8; 4] = [10, 99, 0, 1];

/// What of the host's `/etc` the clients need: users, name resolution, the loader, alternatives such as
/// `iptables`, public trust roots, and the packages' own configuration of podman and its family.
const COPIED_FROM_ETC: &[&str] = &[
    "alternatives",
    "containers",
    "group",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "nsswitch.conf",
    "passwd",
    "protocols",
    "services",
    "ssl",
];

/// Makes the namespaces into a machine, then stays as its first process: when it ends, the kernel ends
/// every process in there and undoes every mount.
const FIRST_PROCESS: &str = r#"
set -eu
read -r pid rest < /proc/self/stat
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount --bind "$1/etc" /etc
hostname "$2"
ip link set lo up
echo "$pid" > "$1/pid.new"
mv "$1/pid.new" "$1/pid"
exec sleep infinity
"#;

/// One private machine; dropping it ends every process in it and removes its files.
pub(crate) struct Machine {
    pid: String,
    unshare: Child,
    // Last: the directory goes when nothing uses it any more.
    directory: tempfile::TempDir,
}

/// A machine on which the registry under test answers at `registry.test`.
pub(crate) struct Sandbox {
    port: u16,
    link: Link,
    machine: Machine,
}

impl Deref for Sandbox {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Sandbox {
    /// A sandbox in which `registry.test:PORT` is `server`, whose certificate authority is trusted.
    #[track_caller]
    pub(crate) fn start(server: &TestServer) -> Self {
        let port = server.port();
        let machine = Machine::start("client");
        machine.address("10.99.0.1/32", "lo");
        let link =
            Link::start(&machine.network(), (REGISTRY_ADDRESS, port).into(), ([127, 0, 0, 1], port).into());
        let sandbox = Self { port, link, machine };
        sandbox.trust(&fs::read_to_string(server.ca_certificate()).expect("the server has a CA"));
        sandbox
    }

    /// `registry.test:PORT`, as a user types it.
    pub(crate) fn registry(&self) -> String {
        format!("{REGISTRY_HOST}:{}", self.port)
    }

    /// `registry.test:PORT/NAME`.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry())
    }

    /// The wire between the sandbox and the registry, to count and to cut.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Makes `ca` the certificate authority for the registry in every client's `certs.d`, as an admin
    /// does on a host; replaces the one before.
    pub(crate) fn trust(&self, ca: &str) {
        for client in ["docker", "containers"] {
            let directory = self.etc().join(client).join("certs.d").join(self.registry());
            fs::create_dir_all(&directory).expect("certs.d");
            fs::write(directory.join("ca.crt"), ca).expect("ca.crt");
        }
    }

    /// Removes the registry's directory from every `certs.d`.
    pub(crate) fn distrust(&self) {
        for client in ["docker", "containers"] {
            let directory = self.etc().join(client).join("certs.d").join(self.registry());
            fs::remove_dir_all(&directory).expect("certs.d of the registry is there");
        }
    }

    /// `PROGRAM login` as `user`, the password by standard input, as docker, podman, skopeo and buildah do.
    pub(crate) fn login(&self, program: &str, user: &str, password: &str) -> Finished {
        let registry = self.registry();
        self.run_with_input(program, &["login", "-u", user, "--password-stdin", &registry], password)
    }
}

impl Machine {
    /// A machine with no network but its own loopback.
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        find("ip", "iproute2");
        let directory = tempfile::Builder::new().prefix("client-").tempdir().expect("a temporary directory");
        let root = directory.path();
        write_etc(&root.join("etc"), root);
        for name in ["home", "tmp"] {
            fs::create_dir(root.join(name)).expect("a directory of the sandbox");
        }
        let mut unshare = find("unshare", "util-linux")
            .args(["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"])
            .args(["--propagation", "private", "sh", "-c", FIRST_PROCESS, "sh"])
            .arg(root)
            .arg(name)
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare starts");
        let pid = wait_for_pid(&root.join("pid"), &mut unshare);
        Self { pid, unshare, directory }
    }

    /// Its network namespace.
    pub(crate) fn network(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.pid).into()
    }

    /// Its first process, as the host knows it.
    pub(crate) fn pid(&self) -> &str {
        &self.pid
    }

    /// Gives an interface an address.
    #[track_caller]
    pub(crate) fn address(&self, address: &str, interface: &str) {
        self.ok(&format!("ip address add {address} dev {interface}"));
    }

    /// The sandbox's directory: the same path inside and outside.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The sandbox's `/etc`, seen from outside.
    pub(crate) fn etc(&self) -> PathBuf {
        self.path().join("etc")
    }

    /// A command that will run inside, with nothing of the caller's environment but the path.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = find("nsenter", "util-linux");
        command
            .args(["--target", &self.pid, "--mount", "--net", "--pid", "--ipc", "--uts"])
            .arg("--")
            .arg(program)
            .env_clear()
            // What Debian's packages installed, even where something else of the name is installed too.
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
            .env("HOME", self.path().join("home"))
            .env("TMPDIR", self.path().join("tmp"))
            .env("LC_ALL", "C.UTF-8")
            // The daemon's own builder: the newer one is a separate package of docker's.
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::null());
        command
    }

    /// Runs a program inside to its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Finished {
        let mut command = self.command(program);
        command.args(arguments);
        Finished::of(program, arguments, &command.output().expect("nsenter starts"))
    }

    /// Runs a command line, words separated by spaces, and insists on success; trimmed standard output.
    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> String {
        let (program, arguments) = split(line);
        self.run(program, &arguments).ok()
    }

    /// Runs a command line, words separated by spaces, and insists on failure with one of `any_of`.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str, any_of: &[&str]) {
        let (program, arguments) = split(line);
        self.run(program, &arguments).refused_with(any_of);
    }

    /// Runs a program inside to its end, with `input` on its standard input.
    pub(crate) fn run_with_input(&self, program: &str, arguments: &[&str], input: &str) -> Finished {
        let mut child = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter starts");
        let mut stdin = child.stdin.take().expect("piped");
        // A client that refuses before it reads closes the pipe: its exit status tells.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the client ends");
        Finished::of(program, arguments, &output)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // `--kill-child`: the first process follows, and with it everything inside.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        wait_until(Duration::from_secs(10), || !Path::new("/proc").join(&self.pid).exists());
    }
}

/// What a client said, and whether it was content.
#[derive(Debug)]
pub(crate) struct Finished {
    command: String,
    succeeded: bool,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Finished {
    fn of(program: &str, arguments: &[&str], output: &Output) -> Self {
        Self {
            command: format!("{program} {}", arguments.join(" ")),
            succeeded: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Whether the command ended with success.
    pub(crate) fn succeeded(&self) -> bool {
        self.succeeded
    }

    /// Whether the command ended with an error.
    pub(crate) fn refused(&self) -> bool {
        !self.succeeded
    }

    /// The trimmed standard output of a command that had to succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(
            self.succeeded,
            "`{}` failed\nstdout: {}\nstderr: {}",
            self.command, self.stdout, self.stderr
        );
        self.stdout.trim().to_owned()
    }

    /// The command had to fail, and to say one of `any_of` (compared without regard to case).
    #[track_caller]
    pub(crate) fn refused_with(self, any_of: &[&str]) {
        assert!(
            !self.succeeded,
            "`{}` succeeded, but had to fail with one of {any_of:?}\nstdout: {}\nstderr: {}",
            self.command, self.stdout, self.stderr
        );
        let said = format!("{}\n{}", self.stdout, self.stderr).to_lowercase();
        assert!(
            any_of.iter().any(|text| said.contains(&text.to_lowercase())),
            "`{}` failed, but without any of {any_of:?}:\n{said}",
            self.command
        );
    }
}

/// Asks `condition` every 20 ms until it holds (true) or `limit` has passed (false).
pub(crate) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn split(line: &str) -> (&str, Vec<&str>) {
    let mut words = line.split_whitespace();
    (words.next().expect("a program"), words.collect())
}

fn wait_for_pid(file: &Path, unshare: &mut Child) -> String {
    let mut pid = String::new();
    wait_until(Duration::from_secs(10), || {
        if let Some(status) = unshare.try_wait().expect("unshare is ours") {
            panic!("no namespaces ({status}): these tests run as root, with CAP_SYS_ADMIN");
        }
        pid = fs::read_to_string(file).unwrap_or_default();
        !pid.is_empty()
    });
    assert!(!pid.is_empty(), "the sandbox did not start within 10 s");
    pid.trim().to_owned()
}

fn write_etc(etc: &Path, root: &Path) {
    fs::create_dir(etc).expect("an empty etc");
    let sources =
        COPIED_FROM_ETC.iter().map(|name| Path::new("/etc").join(name)).filter(|path| path.exists());
    let copied = Command::new("cp").arg("-a").args(sources).arg(etc).status().expect("cp starts");
    assert!(copied.success(), "copying /etc failed");
    fs::create_dir_all(etc.join("docker")).expect("etc/docker");
    fs::create_dir_all(etc.join("containers")).expect("etc/containers");
    let [a, b, c, d] = REGISTRY_ADDRESS;
    fs::write(etc.join("hosts"), format!("127.0.0.1 localhost\n{a}.{b}.{c}.{d} {REGISTRY_HOST}\n"))
        .expect("etc/hosts");
    fs::write(etc.join("resolv.conf"), "").expect("etc/resolv.conf");
    // Where podman and buildah keep their images; vfs, because a sandbox may itself be on an overlay.
    fs::write(
        etc.join("containers/storage.conf"),
        format!(
            "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers\"\ngraphroot = \"{}\"\n",
            root.join("containers").display()
        ),
    )
    .expect("storage.conf");
}

/// The certificate of a CA that signed nothing here.
pub(crate) fn other_ca() -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.self_signed(&key).expect("a certificate").pem()
}
