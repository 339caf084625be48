//! docs/migration.md, done: its commands as they stand, on a volume that goes to ours and back.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::fill::fill;
use super::referrers::push_referrer;
use super::{Server, start_ours};
use crate::support::{Api, Reference, TestServer, go_tool, program_under_test, run_with_input};

/// The blocks of commands in the guide, in their order: list, check, compare, export.
#[track_caller]
fn commands() -> [String; 4] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md");
    let guide = fs::read_to_string(path).expect("the guide");
    let blocks: Vec<String> = guide
        .split("```bash\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("the end of a block").to_owned())
        .collect();
    blocks.try_into().expect("four blocks of commands")
}

/// Somebody who follows the guide, in a directory of their own.
struct Operator {
    directory: tempfile::TempDir,
    configuration: String,
}

impl Operator {
    fn new(root: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("htpasswd"), "").expect("a file");
        let file = directory.path().join("pakhuis.toml");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[storage]\nroot = {:?}\n[auth]\nhtpasswd = \"htpasswd\"\n[tls]\ndirectory = \"certs\"\n",
            root.to_str().expect("UTF-8"),
        );
        fs::write(&file, text).expect("a file");
        Self { configuration: file.to_str().expect("UTF-8").to_owned(), directory }
    }

    /// Types commands of the guide, with this test's address and file in place of the guide's.
    #[track_caller]
    fn types(&self, commands: &str, server: Option<&TestServer>) -> std::process::Output {
        let program = program_under_test();
        let bin = program.parent().expect("a directory");
        let crane = go_tool("crane", "github.com/google/go-containerregistry/cmd/crane");
        let tools = Path::new(crane.get_program()).parent().expect("a directory").to_owned();
        let path = std::env::var("PATH").expect("a PATH");
        let path = format!("{}:{}:{path}", bin.display(), tools.display());
        let mut text = commands.replace("/etc/pakhuis/pakhuis.toml", &self.configuration);
        let mut command = Command::new("bash");
        if let Some(server) = server {
            text = text.replace("docker-registry.dccn.nl:5000", &server.host_port());
            command.env("SSL_CERT_FILE", server.ca_certificate()).env("SSL_CERT_DIR", "/nonexistent");
        }
        command.args(["-euo", "pipefail", "-c", &text]).env("PATH", path).stdin(Stdio::null());
        command.env("DOCKER_CONFIG", self.directory.path()).current_dir(self.directory.path());
        command.output().expect("bash starts")
    }

    /// Signs in and lists everything, as in step 1; gives how many tags there are.
    #[track_caller]
    fn lists(&self, server: &TestServer, into: &str) -> usize {
        let mut crane = go_tool("crane", "github.com/google/go-containerregistry/cmd/crane");
        crane.env("DOCKER_CONFIG", self.directory.path());
        crane.args(["auth", "login", &server.host_port(), "-u", server.username(), "--password-stdin"]);
        run_with_input(&mut crane, server.password().as_bytes());
        let [list, ..] = commands();
        let listed = self.types(&list.replace("before.txt", into), Some(server));
        assert!(listed.status.success(), "{listed:?}");
        let text = fs::read_to_string(self.directory.path().join(into)).expect("a list");
        assert!(text.lines().all(|line| line.contains(" sha256:")), "{text}");
        text.lines().count()
    }

    #[track_caller]
    fn compares(&self) {
        let [_, _, compare, _] = commands();
        let compared = self.types(&compare, None);
        assert!(compared.status.success() && compared.stdout.is_empty(), "{compared:?}");
    }
}

#[tokio::test]
async fn the_commands_of_the_guide_do_what_it_says() {
    for reference in Reference::ALL {
        let volume = tempfile::tempdir().expect("a volume");
        let operator = Operator::new(volume.path());
        let [_, check, _, export] = commands();
        let mut theirs = TestServer::start_reference(reference, volume.path());
        fill(&theirs, "first").await;
        let tags = operator.lists(&theirs, "before.txt");
        theirs.stop();

        let checked = operator.types(&check, None);
        assert!(matches!(checked.status.code(), Some(0 | 3)), "{checked:?}");
        let mut ours = start_ours(volume.path());
        assert_eq!(operator.lists(&ours, "after.txt"), tags);
        operator.compares();

        let api = Api::new(&ours);
        fill(&ours, "second").await;
        let subject = api.get("/v2/first/team/app/manifests/multi").await;
        let digest = subject.header("docker-content-digest").to_owned();
        push_referrer(&api, "first/team/app", &digest, "signature").await;
        let exported = operator.types(&export, None);
        assert!(exported.status.success(), "{exported:?}");
        let tag = digest.replace(':', "-");
        let said = String::from_utf8_lossy(&exported.stdout);
        assert_eq!(said, format!("written first/team/app:{tag} 1\n"));
        let tags = operator.lists(&ours, "before.txt");
        ours.stop();

        let mut theirs = Server::Theirs(reference).start(volume.path());
        assert_eq!(operator.lists(&theirs, "after.txt"), tags);
        operator.compares();
        theirs.stop();
        println!("{reference:?}: {tags} tags the same after the guide");
    }
}
