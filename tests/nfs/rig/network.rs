//! The rig's network: a namespace with one bridge for control and HTTP and one for storage, and a device on each
//! for every guest. Nothing of it touches the host's own network.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::support::{program, run};

/// The bridge of HTTP and of commands to guests, the address of the host on it, and its prefix.
const CONTROL: &str = "control";
const CONTROL_ADDRESS: &str = "10.31.0.1/24";
/// The bridge between clients and the NFS server.
const STORAGE: &str = "storage";

/// A network namespace, gone with its owner.
pub(super) struct Network {
    namespace: String,
}

impl Network {
    pub(super) fn create() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let network = Self { namespace: format!("pakhuis-nfs-{}-{number}", std::process::id()) };
        run(program("ip", "iproute2").args(["netns", "add", &network.namespace]));
        network.ip(&["link", "set", "lo", "up"]);
        for bridge in [CONTROL, STORAGE] {
            network.ip(&["link", "add", bridge, "type", "bridge"]);
            network.ip(&["link", "set", bridge, "up"]);
        }
        network.ip(&["address", "add", CONTROL_ADDRESS, "dev", CONTROL]);
        network
    }

    /// The name that `ip netns` knows it by.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Makes the two devices of a guest; returns their names, control first.
    pub(super) fn add_guest(&self, name: &str) -> [String; 2] {
        [(format!("{name}-c"), CONTROL), (storage_device(name), STORAGE)].map(|(device, bridge)| {
            self.ip(&["tuntap", "add", "dev", &device, "mode", "tap"]);
            self.ip(&["link", "set", &device, "master", bridge, "up"]);
            device
        })
    }

    /// Pulls the storage cable of a guest out.
    pub(super) fn cut_storage(&self, name: &str) {
        self.ip(&["link", "set", &storage_device(name), "nomaster"]);
    }

    /// Puts it back.
    pub(super) fn restore_storage(&self, name: &str) {
        self.ip(&["link", "set", &storage_device(name), "master", STORAGE]);
    }

    /// A command that runs in the namespace.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = program("ip", "iproute2");
        command.args(["netns", "exec", &self.namespace, name]);
        command
    }

    fn ip(&self, arguments: &[&str]) {
        run(program("ip", "iproute2").args(["-n", &self.namespace]).args(arguments));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = program("ip", "iproute2").args(["netns", "delete", &self.namespace]).status();
    }
}

fn storage_device(name: &str) -> String {
    format!("{name}-s")
}
