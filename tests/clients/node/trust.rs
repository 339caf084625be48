//! `config/trust` on a node, with real clients: from a file and from the registry, again and again, and through a
//! change of the authority in which both are accepted.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::docker_engine::DockerEngine;
use crate::support::sandbox::wait_until;
use crate::support::{Options, TestServer, fingerprint, pakhuis, run};

/// The authority and what it signed.
const CERTIFICATES: [&str; 4] = ["ca.crt", "ca.key", "server.key", "server.crt"];

struct Node<'a> {
    server: &'a TestServer,
    engine: DockerEngine,
}

/// The words of a call of the script.
fn script(arguments: &[&str]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/trust");
    [&[script.to_str().expect("UTF-8")], arguments].concat().iter().map(ToString::to_string).collect()
}

impl Node<'_> {
    /// Runs the script; the lines that it says.
    #[track_caller]
    fn trusts(&self, arguments: &[&str]) -> Vec<String> {
        self.engine.ok(&script(arguments).join(" ")).lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], words: &str) {
        self.engine.refused(&script(arguments).join(" "), &[words]);
    }

    /// Whether docker and podman accept the server's certificate; they agree.
    #[track_caller]
    fn accepts(&self) -> bool {
        let accepted = ["docker", "podman"].map(|client| {
            let login = self.engine.login(client, self.server.username(), self.server.password());
            assert!(login.succeeded() || login.stderr.contains("x509: certificate signed by"), "{login:?}");
            login.succeeded()
        });
        assert_eq!(accepted[0], accepted[1], "docker and podman");
        accepted[0]
    }

    /// Puts an authority and what it made in the place of those in service, as docs/operations.md says.
    #[track_caller]
    fn serve(&self, certificates: &Path) {
        self.sees_a_new_certificate(|| {
            for name in CERTIFICATES {
                let new = self.server.directory().join("new");
                fs::copy(certificates.join(name), &new).expect("a copy");
                fs::rename(new, self.server.directory().join("certs").join(name)).expect("a file");
            }
        });
    }

    /// Makes another certificate where those in service are.
    #[track_caller]
    fn renew(&self) {
        let directory = self.server.directory().join("certs");
        self.sees_a_new_certificate(|| {
            run(pakhuis().args(["cert", "generate", "--directory"]).arg(directory));
        });
    }

    #[track_caller]
    fn sees_a_new_certificate(&self, change: impl FnOnce()) {
        let said = || self.server.log().matches("new certificate in service").count();
        let before = said();
        change();
        assert!(wait_until(Duration::from_secs(10), || said() > before), "the certificate is not served");
    }
}

#[test]
fn trusts_by_file_and_by_fetch_and_through_a_change_of_the_authority() {
    let server = TestServer::start(Options {
        extra_configuration: "[ui]\nca_certificate = \"certs/ca.crt\"\n".to_owned(),
        ..Options::default()
    });
    let node = Node { server: &server, engine: DockerEngine::start(&server) };
    fs::create_dir(node.engine.etc().join("containerd")).expect("containerd's directory");
    let host = node.engine.registry();
    let (old, new) = (server.directory().join("old"), server.directory().join("certs-new"));
    copy_certificates(&server, &old);
    run(pakhuis().args(["cert", "generate", "--name", "registry.test", "--directory"]).arg(&new));
    let text = |directory: &Path| directory.join("ca.crt").to_str().expect("UTF-8").to_owned();
    let (old_ca, new_ca) = (text(&old), text(&new));
    let (old_mark, new_mark) = (fingerprint(&old.join("ca.crt")), fingerprint(&new.join("ca.crt")));

    node.engine.distrust();
    node.refuses(&[&host, "--fetch", &new_mark], "none of those given; nothing was changed");
    node.refuses(&[&host, &old_ca, &"0".repeat(64)], "none of those given; nothing was changed");
    node.refuses(&[&host, "/etc/passwd", &old_mark], "holds no certificate");
    assert!(!node.engine.etc().join("docker/certs.d").join(&host).exists() && !node.accepts());

    let said = node.trusts(&[&host, "--fetch", &old_mark]);
    assert_eq!(said.iter().filter(|line| line.starts_with("written:")).count(), 4, "{said:?}");
    assert!(node.accepts());
    // Again, from a file, and with the fingerprint as openssl writes it: nothing to do.
    let colons: Vec<_> = old_mark.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair)).collect();
    for again in [["--fetch", &old_mark], [&old_ca, &colons.join(":")]] {
        let said = node.trusts(&[&host, again[0], again[1]]);
        assert_eq!(said.iter().filter(|line| line.starts_with("unchanged:")).count(), 4, "{said:?}");
    }

    for _ in 0..2 {
        node.trusts(&["--add", &host, &new_ca, &new_mark]);
        let trusted = node.trusts(&["--check", &host]);
        assert_eq!(trusted.len(), 6, "two authorities for each of three clients: {trusted:?}");
        for mark in [&old_mark, &new_mark] {
            assert_eq!(trusted.iter().filter(|line| line.ends_with(mark.as_str())).count(), 3, "{trusted:?}");
        }
    }
    assert!(node.accepts(), "the old certificate, with both trusted");
    node.serve(&new);
    assert!(node.accepts(), "the new certificate, with both trusted");
    node.trusts(&[&host, &new_ca, &new_mark]);
    assert!(node.accepts(), "the new certificate, with the new one trusted");
    node.renew();
    assert!(node.accepts(), "the next certificate, which the new one signed too");
    let said = node.trusts(&[&host, "--fetch", &new_mark]);
    assert_eq!(said.iter().filter(|line| line.starts_with("unchanged:")).count(), 4, "given out: {said:?}");
    node.serve(&old);
    assert!(!node.accepts(), "the old authority is trusted no longer");
}

fn copy_certificates(server: &TestServer, to: &Path) {
    fs::create_dir(to).expect("a directory");
    for name in CERTIFICATES {
        fs::copy(server.directory().join("certs").join(name), to.join(name)).expect("a copy");
    }
}
