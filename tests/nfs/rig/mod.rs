//! The rig: an NFS server and its clients, each a guest with a kernel of its own, and a registry on each client.
//!
//! The machine's own kernel needs no NFS and no modules; root, `user-mode-linux` and `debootstrap` are enough.
//! One rig at a time: it has the machine to itself. It ends with its owner, also when a test fails.

mod gateway;
mod guest;
mod helpers;
mod network;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::support::{go_tool, program, program_under_test, run};
use gateway::Gateway;
pub(crate) use guest::Guest;
use guest::{GuestPlan, Place};
use helpers::Helpers;
use network::Network;

/// Names of the clients: as many as there are servers of the registry.
pub(crate) const CLIENTS: [&str; 3] = ["a", "b", "c"];
/// Port of the registry in a guest.
const HTTP: u16 = 5000;
/// Where a client mounts the volume.
pub(crate) const VOLUME: &str = "/srv/volume";
/// Port of the agent in a guest.
const AGENT: u16 = 7;

/// Which registry serves the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registry {
    /// Ours.
    Pakhuis,
    /// Debian's `docker-registry` 2.8: what this project replaces.
    Distribution,
    /// CNCF Distribution 3.1: the reference of measurements.
    Distribution3,
}

impl Registry {
    fn program(self) -> &'static str {
        match self {
            Self::Pakhuis => "pakhuis",
            Self::Distribution => "docker-registry",
            Self::Distribution3 => "registry",
        }
    }
}

/// A running rig.
pub(crate) struct Rig {
    clients: Vec<Guest>,
    server: Guest,
    /// The ports on 127.0.0.1 of the servers of the registry, and of the round robin over all of them.
    replicas: Vec<SocketAddr>,
    round_robin: SocketAddr,
    registry: Registry,
    nfs_version: &'static str,
    helpers: Helpers,
    tree: PathBuf,
    _gateway: Gateway,
    network: Network,
    directory: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Rig {
    /// Boots the guests, mounts the volume on each client with this version of NFS, and starts a registry on each.
    pub(crate) fn start(registry: Registry, nfs_version: &'static str) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let tree = crate::guest::tree();
        let started = Instant::now();
        let directory = tempfile::Builder::new().prefix("pakhuis-nfs-").tempdir().expect("a directory");
        let share = fill_share(directory.path());
        let helpers = Helpers::compile(directory.path());
        let network = Network::create();
        let gateway = Gateway::start(network.namespace());
        let disk = make_disk(directory.path());
        let names = [("server", Some(disk))].into_iter().chain(CLIENTS.map(|name| (name, None)));
        let mut guests: Vec<_> = (2..)
            .zip(names)
            .map(|(number, (name, disk))| {
                let role = if disk.is_some() { "server" } else { "client" };
                let plan = GuestPlan { name, role, number, disk, devices: network.add_guest(name) };
                let agent = gateway.open(vec![plan.address(AGENT)]);
                Guest::new(plan, agent)
            })
            .collect();
        let clients = guests.split_off(1);
        let server = guests.pop().expect("the server is the first");
        let addresses: Vec<_> = clients.iter().map(|client| client.plan().address(HTTP)).collect();
        let mut rig = Self {
            replicas: addresses.iter().map(|address| gateway.open(vec![*address])).collect(),
            round_robin: gateway.open(addresses),
            clients,
            server,
            registry,
            nfs_version,
            helpers,
            tree,
            _gateway: gateway,
            network,
            directory,
            _alone: alone,
        };
        rig.boot_all(&share);
        println!("rig: {registry:?} on NFS {nfs_version}, ready in {:.1} s", started.elapsed().as_secs_f64());
        rig
    }

    fn boot_all(&mut self, share: &Path) {
        let Self { tree, helpers, network, clients, server, .. } = self;
        let place = Place { tree, helpers, share, network };
        for guest in std::iter::once(&mut *server).chain(clients.iter_mut()) {
            guest.boot(&place);
        }
        self.server.wait_until_up(share);
        for client in 0..self.clients.len() {
            self.clients[client].wait_until_up(share);
            self.mount_and_serve(client);
        }
    }

    /// Mounts the volume on a client and starts its registry, which answers when this returns.
    pub(crate) fn mount_and_serve(&self, client: usize) {
        let (version, program) = (self.nfs_version, self.registry.program());
        self.clients[client]
            .run(&format!("/mnt/guest/client.sh mount {version} && /mnt/guest/client.sh serve {program}"));
        self.wait_until_listening(client);
    }

    /// Ends the registry of a client, mounts the volume anew, so with empty caches and counters, and starts this one.
    pub(crate) fn serve_anew(&mut self, client: usize, registry: Registry) {
        self.clients[client].run("/mnt/guest/client.sh end");
        self.registry = registry;
        self.mount_and_serve(client);
    }

    fn wait_until_listening(&self, client: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let url = format!("curl -sf -m 5 -o /dev/null http://127.0.0.1:{HTTP}/v2/ && echo yes || true");
        while self.clients[client].run(&url).trim() != "yes" {
            assert!(Instant::now() < deadline, "the registry of {client} does not listen\n{}", self.logs());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The NFS server.
    pub(crate) fn server(&self) -> &Guest {
        &self.server
    }

    /// A client.
    pub(crate) fn client(&self, client: usize) -> &Guest {
        &self.clients[client]
    }

    /// Mounts the volume of a client anew below its running registry.
    pub(crate) fn remount(&self, client: usize) {
        self.clients[client].run(&format!("/mnt/guest/client.sh remount {}", self.nfs_version));
    }

    /// Cuts the power of a client.
    pub(crate) fn cut_power_of_client(&mut self, client: usize) {
        self.clients[client].cut_power();
    }

    /// Cuts the power of the NFS server.
    pub(crate) fn cut_power_of_server(&mut self) {
        self.server.cut_power();
    }

    /// Boots a client again, with its mount and its registry.
    pub(crate) fn boot_client(&mut self, client: usize) {
        let share = self.share();
        let place = Place { tree: &self.tree, helpers: &self.helpers, share: &share, network: &self.network };
        self.clients[client].boot(&place);
        self.clients[client].wait_until_up(&share);
        self.mount_and_serve(client);
    }

    /// Boots the NFS server again.
    pub(crate) fn boot_server(&mut self) {
        let share = self.share();
        let place = Place { tree: &self.tree, helpers: &self.helpers, share: &share, network: &self.network };
        self.server.boot(&place);
        self.server.wait_until_up(&share);
    }

    /// Pulls the cable between a client and the NFS server.
    pub(crate) fn cut_storage(&self, client: usize) {
        self.network.cut_storage(CLIENTS[client]);
    }

    /// Puts it back.
    pub(crate) fn restore_storage(&self, client: usize) {
        self.network.restore_storage(CLIENTS[client]);
    }

    /// The servers of the registry, each at a port of its own.
    pub(crate) fn replicas(&self) -> &[SocketAddr] {
        &self.replicas
    }

    /// The port behind which each new connection goes to the next server.
    pub(crate) fn round_robin(&self) -> SocketAddr {
        self.round_robin
    }

    /// Which registry it is.
    pub(crate) fn registry(&self) -> Registry {
        self.registry
    }

    /// The version of NFS of the mounts.
    pub(crate) fn nfs_version(&self) -> &'static str {
        self.nfs_version
    }

    /// The end of what everybody has said: for a failure.
    pub(crate) fn logs(&self) -> String {
        let share = self.share();
        let guests = std::iter::once(&self.server).chain(&self.clients);
        let mut text: Vec<_> = guests.map(|guest| guest.last_words(&share)).collect();
        for name in CLIENTS {
            let log = share.join(format!("{name}.{}.log", self.registry.program()));
            text.push(format!("--- registry on {name}\n{}", tail(&log, 60)));
        }
        text.join("\n")
    }

    fn share(&self) -> PathBuf {
        self.directory.path().join("share")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

/// The directory that all guests see: scripts, programs, configurations; logs come there.
fn fill_share(directory: &Path) -> PathBuf {
    let text = directory.to_str().expect("a temporary directory has a plain name");
    assert!(!text.contains([',', ' ']), "the command line of a guest cannot name {text}");
    let share = directory.join("share");
    fs::create_dir_all(share.join("uml")).expect("a directory");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nfs/guest");
    run(program("cp", "coreutils").arg("-a").arg(scripts).arg(&share));
    fs::copy(program_under_test(), share.join("pakhuis")).expect("the program under test");
    let reference = program("docker-registry", "docker-registry");
    fs::copy(reference.get_program(), share.join("docker-registry")).expect("the program beside it");
    let reference = go_tool("registry", "github.com/distribution/distribution/v3/cmd/registry");
    fs::copy(reference.get_program(), share.join("registry")).expect("the reference of measurements");
    let configuration = format!(
        "[server]\nlisten = \"0.0.0.0:{HTTP}\"\n\n[storage]\nroot = \"{VOLUME}\"\n\n[auth]\nenabled = false\n\n\
         [tls]\nenabled = false\n\n[log]\nformat = \"text\"\nlevel = \"warn\"\n"
    );
    fs::write(share.join("pakhuis.toml"), configuration).expect("a file");
    let configuration = format!(
        "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\n\
         storage:\n  filesystem: {{rootdirectory: {VOLUME}}}\n  delete: {{enabled: true}}\n\
         \x20 maintenance: {{uploadpurging: {{enabled: false}}}}\n\
         http:\n  addr: 0.0.0.0:{HTTP}\n  secret: the-same-on-all\n"
    );
    fs::write(share.join("docker-registry.yml"), configuration).expect("a file");
    share
}

/// The volume of the NFS server: sparse, so that it takes what is written.
fn make_disk(directory: &Path) -> PathBuf {
    let disk = directory.join("disk.img");
    run(program("truncate", "coreutils").args(["--size", "8G"]).arg(&disk));
    run(program("mkfs.ext4", "e2fsprogs").args(["-q", "-F"]).arg(&disk));
    disk
}

/// The last lines of a file.
fn tail(path: &Path, lines: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
