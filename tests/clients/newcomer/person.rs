//! Who reads and types: a machine with a copy of the tree, and what a person brings along.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use crate::support::cluster::{Cluster, address};
use crate::support::sandbox::wait_until;
use crate::support::{fingerprint, program, program_under_test, run};

/// What the shell of the person has before the first command. `typed` is a terminal on which two lines are entered.
const BEGIN: &str = r#"
set -e
cd "$CLONE"
export PATH="$TOOLS:$PATH"
typed() { (sleep 1; echo "$1"; sleep 1; echo a-long-password) | script --quiet --return --command "$2" /dev/null; }
"#;

pub(super) struct Person {
    /// Commands so far, those of them that build, and those that were not typed.
    pub(super) typed: usize,
    pub(super) builds: usize,
    pub(super) left_out: usize,
    server: Option<Child>,
    cluster: Cluster,
}

impl Person {
    /// On a fresh machine, with a copy of the tree: it has docker, and manages a swarm of its own.
    #[track_caller]
    pub(super) fn arrive() -> Self {
        let hosts = format!("{} docker-registry.dccn.nl\n", address(1));
        let cluster = Cluster::start(1, &hosts);
        let person = Self { typed: 0, builds: 0, left_out: 0, server: None, cluster };
        let node = &person.cluster.nodes[0];
        for path in [person.clone(), person.tools(), node.path().join("local")] {
            fs::create_dir(path).expect("a directory");
        }
        let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        run(Command::new("cp")
            .args(["-a", "config", "Cargo.toml", "docs"])
            .arg(person.clone())
            .current_dir(tree));
        person.tool("sudo", "exec \"$@\"");
        person.tool("ssh", "shift; exec \"$@\"");
        let (built, image) = (program_under_test(), tree.join("target/image/pakhuis"));
        assert!(image.is_file(), "missing: config/image/build --binary");
        // What `cargo` would build is there: the program, or the static one of the image. Copies, since a mount may
        // hide them.
        let copy = |from: &Path, name: &str| {
            let to = person.tools().join(name);
            fs::copy(from, &to).expect("a copy of the program");
            to
        };
        let (built, image) = (copy(&built, "built"), copy(&image, "static"));
        person.tool(
            "cargo",
            &format!(
                "mkdir -p target/release\ncase \"$1 $2 $3\" in\n\
                 'run --release --') shift 3; exec {built} \"$@\" ;;\n\
                 'build --release '*) cp {built} target/release/pakhuis ;;\n\
                 'rustc --release '*) cp {image} target/release/pakhuis ;;\n*) exit 1 ;;\nesac",
                built = built.display(),
                image = image.display()
            ),
        );
        // Nothing of the host is written: a place of the machine's own for the volume, and one for programs.
        node.ok("mount -t tmpfs tmpfs /mnt");
        node.ok(&format!("mount --bind {} /usr/local/bin", node.path().join("local").display()));
        program("busybox", "busybox-static");
        program("script", "bsdutils");
        let hello = "tar --create --directory /usr/bin busybox | \
                     docker import --change 'CMD [\"/busybox\", \"sleep\", \"600\"]' - hello-world";
        node.run("sh", &["-c", hello]).ok();
        person
    }

    fn clone(&self) -> PathBuf {
        self.cluster.nodes[0].path().join("pakhuis")
    }

    fn tools(&self) -> PathBuf {
        self.cluster.nodes[0].path().join("tools")
    }

    fn tool(&self, name: &str, script: &str) {
        let path = self.tools().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    }

    fn shell(&self, script: &str) -> Command {
        let mut shell = self.cluster.nodes[0].command("bash");
        shell.env("CLONE", self.clone()).env("TOOLS", self.tools());
        shell.args(["-c", &format!("{BEGIN}{script}")]);
        shell
    }

    /// Types the lines one after the other, in one terminal; each has to succeed.
    #[track_caller]
    pub(super) fn type_all(&mut self, lines: &[String]) {
        let mut script = String::new();
        for line in lines {
            if line == "docker pull hello-world" {
                self.left_out += 1;
                continue;
            }
            self.typed += 1;
            self.builds +=
                usize::from(line.starts_with("cargo build") || line.starts_with("config/image/build"));
            script += &format!("echo '$ {}'\n", line.replace('\'', ""));
            script += &self.filled_in(line);
            script.push('\n');
        }
        run(&mut self.shell(&script));
    }

    /// A line with what the reader has to put in, and with an answer to what it asks.
    fn filled_in(&self, line: &str) -> String {
        let line = line.replace("NODE", "node1");
        let line = if line.contains("FINGERPRINT") {
            line.replace("FINGERPRINT", &fingerprint(&self.clone().join("certs/ca.crt")))
        } else {
            line
        };
        if line.starts_with("cp config/stack.env ") {
            // "Change it": one node has one server.
            return format!("{line}\nsed -i s/^PAKHUIS_REPLICAS=.*/PAKHUIS_REPLICAS=1/ stack.env");
        }
        match line.contains("add-user") || line.contains("docker login") {
            true if line.contains("docker login") && !line.contains(" -u ") => {
                format!("typed alice '{line}'")
            }
            true => format!("typed a-long-password '{line}'"),
            false => line,
        }
    }

    /// Types what stays in the foreground, in a terminal of its own, and waits until it answers.
    #[track_caller]
    pub(super) fn serve(&mut self, line: &str, ca: &str, name: &str) {
        self.typed += 1;
        let server = self.shell(&format!("{line} & echo $! >../server\nwait $!")).spawn();
        self.server = Some(server.expect("nsenter starts"));
        let asked = format!("curl --silent --fail --cacert {ca} https://{name}/healthz");
        let answers = wait_until(Duration::from_secs(20), || {
            self.shell(&asked).output().expect("nsenter starts").status.success()
        });
        assert!(answers, "no answer: {asked}");
    }

    /// Control and C in the terminal of the server.
    #[track_caller]
    pub(super) fn interrupt(&mut self) {
        run(&mut self.shell("kill -INT $(cat ../server)"));
        let status = self.server.take().expect("a server").wait().expect("our own child");
        assert!(status.success(), "{status}");
    }

    /// The image comes back from the registry.
    #[track_caller]
    pub(super) fn has_pushed(&self, image: &str) {
        let node = &self.cluster.nodes[0];
        node.docker(&format!("rmi {image}"));
        node.docker(&format!("pull {image}"));
    }

    /// Leaves nothing of what the section on production put on the machine.
    #[track_caller]
    pub(super) fn forget_production(&self) {
        let script = "rm -r /usr/local/bin/pakhuis /etc/pakhuis; umount /mnt; mount -t tmpfs tmpfs /mnt";
        run(&mut self.shell(script));
    }

    /// What README.md says comes from the registry's machine, and the reader's own stack.
    #[track_caller]
    pub(super) fn brings_ca_and_stack(&self, image: &str) {
        run(&mut self.shell("cp certs/ca.crt ca.crt"));
        let stack = format!(
            "version: '3.8'\nservices:\n  hello:\n    image: {image}\n    stop_grace_period: 1s\n    deploy: {{endpoint_mode: dnsrr}}\n"
        );
        fs::write(self.clone().join("stack.yml"), stack).expect("a file");
    }

    /// Asks until the answer begins with `wanted`.
    #[track_caller]
    pub(super) fn sees(&self, patience: Duration, asked: &str, wanted: &str) {
        let node = &self.cluster.nodes[0];
        let mut said = String::new();
        let seen = wait_until(patience, || {
            said = node.ok(asked);
            said.starts_with(wanted)
        });
        let tasks = || node.run("sh", &["-c", "docker service ps --no-trunc $(docker service ls -q)"]);
        assert!(seen, "{asked}: {said}\n{:#?}", tasks());
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // Where a test failed in between; the machine ends what runs in it.
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
