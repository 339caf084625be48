//! The registry in the swarm, by the files in `config` and the commands of docs/operations.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::support::cluster::{Cluster, Node};
use crate::support::sandbox::wait_until;
use crate::support::{fingerprint, pakhuis, run, run_with_input};

/// What the swarm is given, and who may come in.
pub(super) struct Registry {
    directory: tempfile::TempDir,
    fingerprint: String,
}

/// Pulls that were tried while something happened.
pub(super) struct Pulls {
    pub(super) done: usize,
    pub(super) failed: Vec<String>,
}

pub(super) fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

impl Registry {
    /// Certificates, users, secrets and labels, and the image on the nodes that will run it.
    #[track_caller]
    pub(super) fn prepare(cluster: &Cluster) -> Self {
        let directory = tempfile::Builder::new().prefix("swarm-").tempdir().expect("a directory");
        let root = directory.path();
        // A volume that must exist, begun once.
        fs::create_dir_all(root.join("volume/docker/registry/v2/repositories")).expect("a volume");
        let mut certificates = pakhuis();
        certificates.args(["cert", "generate", "--name", "registry.test", "--directory"]);
        run(certificates.arg(root.join("certs")));
        for user in ["alice", "deploy", "stager", "stager-2"] {
            let mut add = pakhuis();
            add.args(["add-user", user, "--password-stdin", "--htpasswd"]).arg(root.join("htpasswd"));
            run_with_input(&mut add, password(user).as_bytes());
        }
        let shown = run(pakhuis().args(["cert", "show"]).arg("--directory").arg(root.join("certs")));
        let fingerprint = fingerprint(&root.join("certs/ca.crt"));
        let shown = String::from_utf8_lossy(&shown.stdout).to_uppercase().replace(':', "");
        assert!(shown.contains(&fingerprint), "`pakhuis cert show` tells {fingerprint}: {shown}");

        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image/pakhuis");
        assert!(binary.is_file(), "missing: config/image/build --binary");
        let manager = &cluster.nodes[0];
        let built = manager
            .command(config("image/build").to_str().expect("UTF-8"))
            .arg("--image")
            .output()
            .expect("the script starts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        // The cold start: there is no registry yet to pull it from.
        let archive = root.join("pakhuis.tar");
        manager.docker(&format!("save --output {} {}", archive.display(), image()));
        for (node, name) in cluster.nodes.iter().zip(["node1", "node2"]) {
            node.docker(&format!("load --quiet --input {}", archive.display()));
            manager.docker(&format!("node update --label-add registry=true {name}"));
        }
        let size: u64 = manager
            .docker(&format!("image inspect --format {{{{.Size}}}} {}", image()))
            .parse()
            .expect("a number");
        println!("the image has {:.1} MB", size as f64 / 1e6);
        // A developer may have put an unoptimised binary there; the gate has what config/image/build makes.
        let bar = if cfg!(debug_assertions) { 60_000_000 } else { 20_000_000 };
        assert!(size < bar, "{size} bytes");
        for (name, file) in [
            ("pakhuis-htpasswd-1", "htpasswd"),
            ("pakhuis-certificate-1", "certs/server.crt"),
            ("pakhuis-key-1", "certs/server.key"),
        ] {
            manager.docker(&format!("secret create {name} {}", root.join(file).display()));
        }
        let text = fs::read_to_string(config("stack-pakhuis.toml")).expect("the configuration of the stack");
        let text = text.replace("docker-registry.dccn.nl", "registry.test");
        // As docs/operations.md gives a stack users that only pull.
        let rule = "[[auth.access]]\nusers = [\"stager\", \"stager-2\"]\nrepositories = [\"stager/*\"]\nallow = [\"pull\"]\n";
        let text = format!("{text}\n{rule}");
        fs::write(root.join("pakhuis.toml"), text).expect("a file");
        manager.docker(&format!("config create pakhuis-ca-1 {}", root.join("certs/ca.crt").display()));
        // The test runs as root, and so owns the volume.
        let variables = fs::read_to_string(config("stack.env")).expect("the variables")
            + &format!(
                "PAKHUIS_VOLUME={0}/volume\nPAKHUIS_CONFIG_FILE={0}/pakhuis.toml\nPAKHUIS_USER=0:0\nPAKHUIS_UID=0\n",
                root.display()
            );
        fs::write(root.join("stack.env"), variables).expect("a file");
        Self { directory, fingerprint }
    }

    /// Deploys `config/stack.yml` and waits until both servers are healthy.
    #[track_caller]
    pub(super) fn deploy(&self, cluster: &Cluster) {
        let manager = &cluster.nodes[0];
        self.deploy_again(manager);
        let running = wait_until(PATIENCE, || {
            manager.docker("service ls --format {{.Replicas}}").starts_with("2/2")
                && cluster.nodes[..2].iter().all(|node| {
                    node.docker("ps --filter health=healthy --format {{.Image}}").contains("pakhuis")
                })
        });
        let said = || manager.docker("service ps --no-trunc registry_registry");
        assert!(running, "{}\n{}", said(), manager.docker("service logs registry_registry"));
    }

    /// By the command of docs/operations.md, with what stack.env says.
    #[track_caller]
    fn deploy_again(&self, manager: &Node) {
        let deploy = "docker stack deploy --resolve-image never --compose-file";
        self.with_variables(manager, &format!("{deploy} {} registry", config("stack.yml").display()));
    }

    /// Runs a line of shell that finds the variables of stack.env; what it said.
    #[track_caller]
    pub(super) fn with_variables(&self, manager: &Node, line: &str) -> String {
        let line = format!("cd {}; set -a; . ./stack.env; set +a; {line}", self.directory.path().display());
        manager.run("sh", &["-c", &line]).ok()
    }

    /// Changes a variable in the file that is kept.
    fn set(&self, variable: &str, value: &str) {
        let file = self.directory.path().join("stack.env");
        let text = fs::read_to_string(&file).expect("the variables");
        fs::write(&file, format!("{text}{variable}={value}\n")).expect("a file");
    }

    /// Every node trusts the authority, by the script, twice: the second time it has nothing to do.
    #[track_caller]
    pub(super) fn trust(&self, cluster: &Cluster) {
        let (script, ca) = (config("trust"), self.directory.path().join("certs/ca.crt"));
        let line = format!("{} registry.test:5000 {}", script.display(), ca.display());
        for node in &cluster.nodes {
            node.refused(
                &format!("{line} {}", "0".repeat(64)),
                &["none of those given; nothing was changed"],
            );
            assert!(node.ok(&format!("{line} {}", self.fingerprint)).contains("written:"));
            // From the registry itself, which gives out the CA that it was given as a configuration.
            let fetched = format!("{} registry.test:5000 --fetch {}", script.display(), self.fingerprint);
            assert!(node.ok(&fetched).contains("unchanged:"));
            assert!(!node.ok(&format!("{line} {}", self.fingerprint)).contains("written:"));
        }
    }

    #[track_caller]
    pub(super) fn sign_in(node: &Node, user: &str) {
        node.run_with_input(
            "docker",
            &["login", "-u", user, "--password-stdin", "registry.test:5000"],
            &password(user),
        )
        .ok();
    }

    /// Replaces both servers, as an update of the image does, while the third node pulls again and again.
    #[track_caller]
    pub(super) fn update_while_pulling(cluster: &Cluster, image: &str) -> Pulls {
        let [manager, _, node] = cluster.nodes.as_slice() else { panic!("three nodes") };
        manager.docker("service update --force --detach registry_registry");
        Self::pull_until(|| Self::update_is(manager, "completed"), node, image)
    }

    /// Deploys an image that does not become healthy, by the command of docs/operations.md, while the third node pulls
    /// again and again: the swarm goes back by itself.
    #[track_caller]
    pub(super) fn roll_back_while_pulling(&self, cluster: &Cluster, image: &str) -> Pulls {
        let [manager, other, node] = cluster.nodes.as_slice() else { panic!("three nodes") };
        let sick = format!("{}-sick", self::image());
        let recipe = format!(
            "FROM {}\nHEALTHCHECK --start-period=1s --interval=1s --retries=2 CMD [\"/pakhuis\", \"--is-it-well\"]\n",
            self::image()
        );
        let context = tempfile::tempdir_in(manager.path()).expect("a directory");
        fs::write(context.path().join("Dockerfile"), recipe).expect("a file");
        manager.docker(&format!("build --quiet --tag {sick} {}", context.path().display()));
        let archive = self.directory.path().join("sick.tar");
        manager.docker(&format!("save --output {} {sick}", archive.display()));
        other.docker(&format!("load --quiet --input {}", archive.display()));
        self.set("PAKHUIS_IMAGE", &sick);
        self.deploy_again(manager);
        let tasks = || {
            let format = "service ps --no-trunc --format {{.Image}}|{{.CurrentState}} registry_registry";
            manager.docker(format)
        };
        let running = |image: &str| {
            let running = format!("{image}|Running");
            tasks().lines().filter(|line| line.starts_with(&running)).count()
        };
        // Until the last one of the old image runs again.
        let went_back = || Self::update_is(manager, "rollback_completed") && running(&self::image()) == 2;
        let pulls = Self::pull_until(went_back, node, image);
        // As the run book says: or the next deploy goes forward again.
        self.set("PAKHUIS_IMAGE", &self::image());
        assert!(tasks().contains(&sick) && running(&sick) == 0, "{}", tasks());
        pulls
    }

    fn update_is(manager: &Node, state: &str) -> bool {
        let format = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}";
        manager.run("docker", &["service", "inspect", "--format", format, "registry_registry"]).ok().trim()
            == state
    }

    /// Pulls on `node` until something has happened.
    #[track_caller]
    fn pull_until(has_happened: impl Fn() -> bool, node: &Node, image: &str) -> Pulls {
        let mut pulls = Pulls { done: 0, failed: Vec::new() };
        let begin = Instant::now();
        while !has_happened() {
            assert!(begin.elapsed() < 2 * PATIENCE, "the update does not end");
            let _ = node.try_docker(&format!("rmi --force {image}"));
            let pulled = node.try_docker(&format!("pull --quiet {image}"));
            if pulled.succeeded() {
                pulls.done += 1;
            } else {
                pulls.failed.push(format!("after {:?}: {}", begin.elapsed(), pulled.stderr));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        pulls
    }

    /// Takes users out of the htpasswd file, as another version of the secret; what a node that is signed in as one of
    /// them is told then.
    #[track_caller]
    pub(super) fn revoke(&self, manager: &Node, users: &[&str], node: &Node) {
        let root = self.directory.path();
        for user in users {
            let mut remove = pakhuis();
            remove.args(["remove-user", user, "--yes", "--htpasswd"]).arg(root.join("htpasswd"));
            run(&mut remove);
        }
        manager.docker(&format!("secret create pakhuis-htpasswd-2 {}", root.join("htpasswd").display()));
        self.set("PAKHUIS_HTPASSWD_VERSION", "2");
        self.set("PAKHUIS_REPLICAS", "1");
        self.deploy_again(manager);
        let image = "registry.test:5000/stager/db:1";
        let _ = node.try_docker(&format!("rmi --force {image}"));
        let mut said = String::new();
        let refused = wait_until(PATIENCE, || {
            let pulled = node.try_docker(&format!("pull --quiet {image}"));
            said.clone_from(&pulled.stderr);
            !pulled.succeeded() && said.contains("unauthorized")
        });
        assert!(refused, "{said}");
        assert!(said.contains("the user name or the password is wrong"), "{said}");
    }
}

fn image() -> String {
    format!("pakhuis:{}", env!("CARGO_PKG_VERSION"))
}

fn password(user: &str) -> String {
    format!("{user} has a long password")
}
