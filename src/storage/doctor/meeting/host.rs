//! Who meets whom: what a host says of itself, and when two say too much of the same.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::storage::doctor::{mount_table::Mount, report::Finding};

/// A host, as it tells the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Host {
    /// What the kernel gives the file server as the client's name.
    pub(super) name: String,
    /// Of the running kernel: the same for two processes of one machine.
    pub(super) boot_id: String,
    /// What makes the identity of an NFS 4 client unique beside its name; empty when not set.
    pub(super) unique_id: String,
    /// Whom the files that it makes belong to.
    pub(super) uid: u32,
    /// Device number of the volume: the same for two processes with one mount.
    pub(super) device: u64,
    /// Type of the file system.
    pub(super) file_system: String,
    pub(super) options: Vec<String>,
    /// Of Pakhuis.
    pub(super) version: String,
}

impl Host {
    pub(super) fn this(mount: Option<&Mount>, uid: u32, device: u64) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let unique_ids =
            ["/sys/fs/nfs/net/nfs_client/identifier", "/sys/module/nfs/parameters/nfs4_unique_id"];
        let unique_id = unique_ids.iter().map(|path| read(path)).find(|id| !id.is_empty() && id != "(null)");
        Self {
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            unique_id: unique_id.unwrap_or_default(),
            uid,
            device,
            file_system: mount.map(|mount| mount.file_system.clone()).unwrap_or_default(),
            options: mount.map(|mount| mount.options.clone()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Whether both see the volume through the same kernel and mount, with one cache.
    pub(super) fn shares_cache_with(&self, other: &Self) -> bool {
        !self.boot_id.is_empty() && self.boot_id == other.boot_id && self.device == other.device
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What is wrong about this pair.
pub(super) fn judge(here: &Host, other: &Host, root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let one_name = here.name == other.name && here.unique_id == other.unique_id;
    if here.file_system == "nfs4" && one_name && !here.shares_cache_with(other) {
        findings.push(Finding::error(
            format!("both hosts are {} to the file server, with the same nfs4_unique_id", here.name),
            "the file server takes two for one: a moved tag was seen old for minutes, and open files are lost",
            "give each a host name of its own, or: echo options nfs nfs4_unique_id=$(uuidgen) \
             >/etc/modprobe.d/nfs-identity.conf    and restart it",
        ));
    }
    if here.uid != other.uid {
        findings.push(Finding::error(
            format!("files made here belong to uid {}, those made there to uid {}", here.uid, other.uid),
            "one server cannot write what the other made, nor read the key of the session cookies",
            "run both servers under the same uid; see all_squash and anonuid in exports(5)",
        ));
    }
    for name in ["vers", "lookupcache", "local_lock", "proto"] {
        if here.option(name) != other.option(name) {
            let shown = |host: &Host| host.option(name).unwrap_or("the default").to_owned();
            findings.push(Finding::note(
                format!(
                    "the hosts mount differently: {name} is {} here, {} there",
                    shown(here),
                    shown(other)
                ),
                "nothing by itself, but they see changes of each other at different times",
                format!("write the same options for {} in both /etc/fstab", root.display()),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, boot_id: &str, uid: u32) -> Host {
        Host {
            name: name.to_owned(),
            boot_id: boot_id.to_owned(),
            unique_id: String::new(),
            uid,
            device: 45,
            file_system: "nfs4".to_owned(),
            options: ["rw", "vers=4.2"].map(str::to_owned).to_vec(),
            version: "0.1.0".to_owned(),
        }
    }

    fn problems(here: &Host, other: &Host) -> Vec<String> {
        judge(here, other, Path::new("/v")).into_iter().map(|finding| finding.problem).collect()
    }

    #[test]
    fn one_identity_for_two_machines_is_found() {
        let here = host("node", "a", 0);
        assert_eq!(problems(&here, &host("node2", "b", 0)), [""; 0]);
        assert_eq!(
            problems(&here, &host("node", "b", 0)),
            ["both hosts are node to the file server, with the same nfs4_unique_id"]
        );
        let unique = Host { unique_id: "6d1f".to_owned(), ..host("node", "b", 0) };
        assert_eq!(problems(&here, &unique), [""; 0]);
        assert_eq!(
            problems(&here, &host("node", "a", 0)),
            [""; 0],
            "two processes of one machine share the mount"
        );
        let second_mount = Host { device: 46, ..host("node", "a", 0) };
        assert_eq!(problems(&here, &second_mount).len(), 1, "two mounts of one machine do not");
    }

    #[test]
    fn owners_and_options_that_differ_are_found() {
        let other = Host { options: vec!["vers=3".to_owned()], ..host("node2", "b", 1000) };
        assert_eq!(
            problems(&host("node", "a", 0), &other),
            [
                "files made here belong to uid 0, those made there to uid 1000",
                "the hosts mount differently: vers is 4.2 here, 3 there"
            ]
        );
    }
}
