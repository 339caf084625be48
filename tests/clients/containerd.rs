//! containerd through `ctr`, with hosts.toml as on a Kubernetes node: import, push, pull, every platform.

use std::fs::{self, File};
use std::ops::Deref;
use std::process::Child;
use std::time::Duration;

use crate::support::sandbox::{Finished, Sandbox, other_ca, wait_until};
use crate::support::{Blob, ImageSpec, Layout, Options, TestServer, fingerprint, program, run};

const HOSTS: &str = "/etc/containerd/certs.d";

/// A containerd of the test's own; `ctr` run in its sandbox talks to it.
struct Containerd {
    daemon: Child,
    server: TestServer,
    sandbox: Sandbox,
}

impl Containerd {
    #[track_caller]
    fn start() -> Self {
        program("containerd", "containerd");
        program("ctr", "containerd");
        let server = TestServer::start(Options::default());
        let sandbox = Sandbox::start(&server);
        let etc = sandbox.etc().join("containerd");
        fs::create_dir(&etc).expect("a directory");
        let configuration = format!(
            "version = 2\nroot = \"{}\"\nstate = \"/run/containerd\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
            sandbox.path().join("containerd").display()
        );
        fs::write(etc.join("config.toml"), configuration).expect("a file");
        let log = File::create(sandbox.path().join("containerd.log")).expect("a log file");
        let daemon = sandbox.command("containerd").stderr(log).spawn().expect("nsenter starts");
        let containerd = Self { daemon, server, sandbox };
        containerd.trust_through_hosts_toml(
            &fs::read_to_string(containerd.server.ca_certificate()).expect("the server has a CA"),
        );
        let ready = wait_until(Duration::from_secs(30), || containerd.ctr(&["version"]).succeeded());
        assert!(ready, "containerd does not answer");
        containerd
    }

    fn trust_through_hosts_toml(&self, ca: &str) {
        let registry = self.registry();
        let directory = self.etc().join("containerd/certs.d").join(&registry);
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("ca.crt"), ca).expect("a file");
        // `ca` at the top, for `server`: a `[host]` section's own would not hold for the server it falls back to.
        let hosts = format!("server = \"https://{registry}\"\nca = \"{HOSTS}/{registry}/ca.crt\"\n");
        fs::write(directory.join("hosts.toml"), hosts).expect("a file");
    }

    fn ctr(&self, arguments: &[&str]) -> Finished {
        self.run("ctr", arguments)
    }

    /// `ctr images push|pull` with hosts.toml and, if given, `user:password`.
    fn transfer(&self, direction: &str, login: Option<&str>, arguments: &[&str]) -> Finished {
        let mut all = vec!["images", direction, "--hosts-dir", HOSTS];
        all.extend(login.into_iter().flat_map(|login| ["--user", login]));
        all.extend(arguments);
        self.ctr(&all)
    }

    fn right_login(&self) -> String {
        format!("{}:{}", self.server.username(), self.server.password())
    }

    /// Imports what `layout` calls `tag` as an OCI archive; answers its name in the registry.
    #[track_caller]
    fn import(&self, layout: &Layout, repository: &str, tag: &str) -> String {
        let archive = self.path().join("archive.tar");
        run(program("tar", "tar").arg("-C").arg(layout.directory()).arg("-cf").arg(&archive).arg("."));
        let base = self.image(repository);
        let archive = archive.to_string_lossy();
        self.ctr(&["images", "import", "--all-platforms", "--no-unpack", "--base-name", &base, &archive])
            .ok();
        format!("{base}:{tag}")
    }

    /// Removes every image and, with it, every byte.
    #[track_caller]
    fn forget_everything(&self) {
        for name in self.ctr(&["images", "list", "--quiet"]).ok().lines() {
            self.ctr(&["images", "remove", "--sync", name]).ok();
        }
        assert_eq!(self.ctr(&["content", "list", "--quiet"]).ok(), "", "content is left");
    }

    /// Insists that containerd, which checks digests as it stores, has the blob, and that it is ours.
    #[track_caller]
    fn assert_has(&self, layout: &Layout, blob: &Blob) {
        let fetched =
            self.command("ctr").args(["content", "get", &blob.digest]).output().expect("nsenter starts");
        assert!(fetched.stdout == layout.read(blob), "{} is not what was pushed", blob.digest);
    }
}

impl Deref for Containerd {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // It runs no containers and mounts nothing: it may end at once.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn refuses_an_unknown_ca_a_wrong_password_and_no_login() {
    let containerd = Containerd::start();
    let (layout, _) = Layout::with_image(&containerd.path().join("layout"), ImageSpec::new(20, 2, 1000), "1");
    let name = containerd.import(&layout, "team/app", "1");
    let login = containerd.right_login();

    let wrong = format!("{}:wrong", containerd.server.username());
    for login in [None, Some(wrong.as_str()), Some("nobody:nothing")] {
        for direction in ["push", "pull"] {
            let refused = containerd.transfer(direction, login, &[&name]);
            refused.refused_with(&["401 unauthorized", "authorization failed", "no basic auth credentials"]);
        }
    }
    containerd.trust_through_hosts_toml(&other_ca());
    containerd
        .transfer("push", Some(&login), &[&name])
        .refused_with(&["x509: certificate signed by unknown"]);
    containerd
        .transfer("pull", Some(&login), &[&name])
        .refused_with(&["x509: certificate signed by unknown"]);

    // As an administrator does it.
    let (script, ca) =
        (concat!(env!("CARGO_MANIFEST_DIR"), "/config/trust"), containerd.server.ca_certificate());
    let registry = containerd.registry();
    containerd.ok(&format!("{script} {registry} {} {}", ca.display(), fingerprint(ca)));
    let absent = containerd.image("team/absent:1");
    containerd.transfer("pull", Some(&login), &[&absent]).refused_with(&["not found"]);
    containerd.transfer("push", Some(&login), &[&name]).ok();
}

#[test]
fn pushes_many_layers_and_pulls_them_by_tag_and_by_digest() {
    let containerd = Containerd::start();
    let directory = containerd.path().join("layout");
    let (layout, image) = Layout::with_image(&directory, ImageSpec::new(21, 30, 300_000), "1.0");
    let name = containerd.import(&layout, "team/deep/many", "1.0");
    let login = containerd.right_login();
    containerd.transfer("push", Some(&login), &[&name]).ok();
    containerd.transfer("push", Some(&login), &[&name]).ok();

    let by_digest = containerd.image(&format!("team/deep/many@{}", image.digest));
    for reference in [&name, &by_digest] {
        containerd.forget_everything();
        containerd.transfer("pull", Some(&login), &[reference]).ok();
        for blob in layout.parts(&image).iter().chain([&image]) {
            containerd.assert_has(&layout, blob);
        }
    }
}

#[test]
fn pushes_and_pulls_every_platform_of_an_index() {
    let containerd = Containerd::start();
    let layout = Layout::create(&containerd.path().join("layout"));
    let images = ["amd64", "arm64"].map(|architecture| {
        let image = layout.add_image(ImageSpec { architecture, ..ImageSpec::new(22, 4, 50_000) });
        (image, architecture)
    });
    let index = layout.add_index(&images);
    layout.tag(&index, "all");
    let name = containerd.import(&layout, "nested/new/repository", "all");
    let login = containerd.right_login();
    containerd.transfer("push", Some(&login), &[&name]).ok();

    containerd.forget_everything();
    containerd.transfer("pull", Some(&login), &["--all-platforms", &name]).ok();
    containerd.assert_has(&layout, &index);
    for (image, _) in &images {
        for blob in layout.parts(image).iter().chain([image]) {
            containerd.assert_has(&layout, blob);
        }
    }
}
