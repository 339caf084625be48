//! A swarm of machines of the test's own: one dockerd each, joined by a bridge in a namespace of its own, so that the
//! host gets no interface, mount or rule of a firewall.

use std::fs;
use std::ops::Deref;

use super::docker_engine::Daemon;
use super::program;
use super::sandbox::{Finished, Machine};

/// The nodes, and the wire between them.
pub(crate) struct Cluster {
    // Before the hub: their interfaces end in it.
    pub(crate) nodes: Vec<Node>,
    _hub: Machine,
}

/// One machine with a docker engine.
pub(crate) struct Node {
    daemon: Option<Daemon>,
    machine: Machine,
    number: usize,
}

impl Deref for Node {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

/// Ends each process of the machine but the first, which is `sleep`: never a process of the host.
const POWER_CUT: &str = r#"
[ "$(cat /proc/1/comm)" = sleep ] || exit 1
for process in /proc/[0-9]*; do
    id=${process#/proc/}
    [ "$id" = 1 ] || [ "$id" = $$ ] || kill -KILL "$id"
done
"#;

/// The address of a node, from 1 up.
pub(crate) fn address(number: usize) -> String {
    format!("10.99.0.{}", 10 + number)
}

impl Cluster {
    /// A swarm of `count` nodes `node1`, ..., the first of which manages it. `hosts` is added to `/etc/hosts` of each.
    #[track_caller]
    pub(crate) fn start(count: usize, hosts: &str) -> Self {
        let hub = Machine::start("hub");
        hub.ok("ip link add bridge type bridge");
        hub.ok("ip link set bridge up");
        let nodes = (1..=count).map(|number| Node::start(number, &hub, hosts)).collect();
        let cluster = Self { nodes, _hub: hub };
        let manager = &cluster.nodes[0];
        manager.docker(&format!("swarm init --advertise-addr {}", address(1)));
        let token = manager.docker("swarm join-token --quiet worker");
        for node in &cluster.nodes[1..] {
            let own = address(node.number);
            node.docker(&format!("swarm join --advertise-addr {own} --token {token} {}:2377", address(1)));
        }
        cluster
    }
}

impl Node {
    #[track_caller]
    fn start(number: usize, hub: &Machine, hosts: &str) -> Self {
        let machine = Machine::start(&format!("node{number}"));
        // From outside: the machine does not know the hub's first process.
        let added = program("nsenter", "util-linux")
            .arg(format!("--net={}", machine.network().display()))
            .args(["ip", "link", "add", "eth0", "type", "veth"])
            .args(["peer", "name", &format!("node{number}"), "netns", hub.pid()])
            .status()
            .expect("nsenter starts");
        assert!(added.success(), "no interface for node{number}");
        hub.ok(&format!("ip link set node{number} master bridge"));
        hub.ok(&format!("ip link set node{number} up"));
        machine.ok("ip link set eth0 up");
        machine.address(&format!("{}/24", address(number)), "eth0");
        // Without a route the engine has no address to reach others by.
        machine.ok("ip route add default dev eth0");
        fs::write(machine.etc().join("hosts"), format!("127.0.0.1 localhost\n{hosts}")).expect("etc/hosts");
        let cgroup = format!("pakhuis-swarm-{}-{number}", std::process::id());
        let daemon = Some(Daemon::start(&machine, &cgroup, &[]));
        Self { daemon, machine, number }
    }

    /// Runs `docker` with words separated by spaces, and insists on success; trimmed standard output.
    #[track_caller]
    pub(crate) fn docker(&self, arguments: &str) -> String {
        self.ok(&format!("docker {arguments}"))
    }

    /// The same, which may fail.
    pub(crate) fn try_docker(&self, arguments: &str) -> Finished {
        self.run("docker", &arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// Ends the engine with all its containers at once, as a power cut does.
    pub(crate) fn crash(&mut self) {
        let _ = self.run("sh", &["-c", POWER_CUT]);
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop(&self.machine);
        }
        // What the containers left is gone with the power: the wire too.
        let _ = self.run("ip", &["link", "set", "eth0", "down"]);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop(&self.machine);
        }
    }
}
