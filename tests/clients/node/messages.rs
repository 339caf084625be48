//! What docker and podman say on a node without the authority, with a wrong one, without a sign-in, and with a user who
//! is gone; and that the help page and docs/operations.md say what to do about each.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::docker_engine::DockerEngine;
use crate::support::sandbox::{other_ca, wait_until};
use crate::support::{Api, Options, TestServer, pakhuis, run, run_with_input};

const UNTRUSTED: &str = "x509: certificate signed by unknown authority";

struct Node {
    engine: DockerEngine,
}

impl Node {
    /// Pulls with both; each must be refused, with one of the words that people are told of.
    #[track_caller]
    fn refused(&self, case: &'static str, docker: &[&str], podman: &[&str]) {
        let image = self.engine.image("team/app:1");
        for (program, words) in [("docker", docker), ("podman", podman)] {
            let pulled = self.engine.run(program, &["pull", &image]);
            println!("{case}, {program}: {}", pulled.stderr.trim());
            pulled.refused_with(words);
        }
    }

    #[track_caller]
    fn sign_in(&self, user: &str, password: &str) {
        for program in ["docker", "podman"] {
            self.engine.login(program, user, password).ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_of_a_node_is_one_that_the_help_page_explains() {
    let server = TestServer::start(Options {
        extra_configuration:
            "[[auth.access]]\nusers = [\"stager\"]\nrepositories = [\"stager/*\"]\nallow = [\"pull\"]\n"
                .to_owned(),
        ..Options::default()
    });
    let change = |arguments: &[&str], input: &str| {
        let mut command = pakhuis();
        command.args(arguments).arg("--htpasswd").arg(server.directory().join("htpasswd"));
        if input.is_empty() {
            run(&mut command)
        } else {
            run_with_input(&mut command, input.as_bytes())
        };
    };
    for user in ["bob", "stager"] {
        change(&["add-user", user, "--password-stdin"], "a password for pulls");
    }
    tokio::task::block_in_place(|| on_a_node(&server, &change));
    help_tells_of_each(&server).await;
}

fn on_a_node(server: &TestServer, change: &dyn Fn(&[&str], &str)) {
    let node = Node { engine: DockerEngine::start(server) };
    let authority = fs::read_to_string(server.ca_certificate()).expect("the CA");

    node.engine.distrust();
    node.refused("without the authority", &[UNTRUSTED], &[UNTRUSTED]);
    node.engine.trust(&other_ca());
    node.refused("with a wrong authority", &[UNTRUSTED], &[UNTRUSTED]);
    node.engine.trust(&authority);
    node.refused("without a sign-in", &["no basic auth credentials"], &["unauthorized: sign in first"]);

    let signs_in = |user: &str| {
        wait_until(Duration::from_secs(10), || {
            node.engine.login("docker", user, "a password for pulls").succeeded()
        })
    };
    assert!(signs_in("stager") && signs_in("bob"));
    node.sign_in("stager", "a password for pulls");
    let denied = &["denied: you are signed in, but may not do this"];
    node.refused("with a user who may not", denied, denied);

    node.sign_in("bob", "a password for pulls");
    let absent = &["manifest unknown", "name unknown"];
    node.refused("with a user who may", absent, absent);
    change(&["remove-user", "bob", "--yes"], "");
    let gone = || node.engine.login("docker", "bob", "a password for pulls").refused();
    assert!(wait_until(Duration::from_secs(10), gone), "a user who was removed still signs in");
    let rejected = &["unauthorized: the user name or the password is wrong"];
    node.refused("with a user who was revoked", rejected, rejected);
    let login = node.engine.login("podman", "bob", "a password for pulls");
    println!("signing in: {}", login.stderr.trim());
    login.refused_with(&["invalid username/password"]);
}

/// The words that people will search for.
async fn help_tells_of_each(server: &TestServer) {
    let help = Api::new(server).get("/ui/help").await;
    let help = String::from_utf8(help.body.to_vec()).expect("a page");
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let book = fs::read_to_string(book).expect("the run book");
    for words in [
        UNTRUSTED,
        "no basic auth credentials",
        "unauthorized: sign in first",
        "unauthorized: the user name or the password is wrong",
        "invalid username/password",
        "denied: you are signed in, but may not do this",
    ] {
        assert!(help.contains(&format!("<code>{words}</code>")), "the help page says nothing of {words:?}");
        assert!(book.contains(&format!("`{words}`")), "docs/operations.md says nothing of {words:?}");
    }
}
