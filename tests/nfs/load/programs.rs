//! Real clients beside the load: skopeo and crane push, pull, retag and delete through the round robin, each new
//! connection to the next server. Each thread has a repository of its own and knows what must be in it.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tempfile::TempDir;

use super::Report;
use crate::{
    random::Random,
    rig::Rig,
    support::{Blob, ImageSpec, Layout, go_tool, program},
};

const TAGS: [&str; 3] = ["stable", "testing", "old"];

/// Threads with clients that are running.
pub(crate) struct Programs {
    threads: Vec<JoinHandle<()>>,
    _directory: TempDir,
}

impl Programs {
    /// Starts this many threads; they go on as long as `go_on` says so.
    pub(crate) fn start(
        rig: &Rig,
        count: usize,
        seed: u64,
        report: &Arc<Report>,
        go_on: impl Fn() -> bool + Send + Clone + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut random = Random(seed);
        let threads = (0..count).map(|number| {
            let user = User {
                registry: rig.round_robin(),
                repository: format!("programs/user-{number}"),
                directory: directory.path().join(number.to_string()),
                random: Random(random.next()),
                report: report.clone(),
                tags: BTreeMap::new(),
                made: 0,
            };
            let go_on = go_on.clone();
            thread::spawn(move || user.work(go_on))
        });
        Self { threads: threads.collect(), _directory: directory }
    }

    /// Waits for all of them.
    pub(crate) fn finish(self) {
        for thread in self.threads {
            thread.join().expect("a user reports, and does not panic");
        }
    }
}

struct User {
    registry: SocketAddr,
    repository: String,
    directory: PathBuf,
    random: Random,
    report: Arc<Report>,
    /// What each tag must name; the layouts are kept.
    tags: BTreeMap<&'static str, (PathBuf, Blob)>,
    made: u64,
}

/// The program failed, or did the wrong thing; it is reported.
struct Failed;

impl User {
    fn work(mut self, go_on: impl Fn() -> bool) {
        fs::create_dir_all(&self.directory).expect("a directory");
        while go_on() {
            let tag = *self.random.pick(&TAGS);
            let outcome = match self.random.below(10) {
                0..4 => self.push(tag),
                4..7 => self.pull(tag),
                7..9 => self.retag(tag),
                _ => self.delete(tag),
            };
            if outcome.is_err() {
                // What the repository holds is not known any more: a new one.
                self.made += 1;
                self.repository = format!("{}-{}", self.repository, self.made);
                self.tags.clear();
                thread::sleep(Duration::from_millis(200));
            }
        }
    }

    fn name(&self, reference: &str) -> String {
        format!("{}/{}{reference}", self.registry, self.repository)
    }

    fn push(&mut self, tag: &'static str) -> Result<(), Failed> {
        self.report.operation("program: push");
        self.made += 1;
        let directory = self.directory.join(format!("image-{}", self.made));
        let spec = ImageSpec::new(self.random.next() >> 20, 1 + self.random.below(3), 100_000);
        let (layout, image) = Layout::with_image(&directory, spec, "made");
        let name = self.name(&format!(":{tag}"));
        if self.random.once_in(2) {
            let source = format!("oci:{}:made", layout.directory().display());
            self.run(skopeo().args(["--dest-tls-verify=false", &source, &format!("docker://{name}")]))?;
        } else {
            self.run(crane().arg("push").arg(layout.directory()).arg(&name))?;
        }
        self.tags.insert(tag, (directory, image));
        self.check_tag(tag)
    }

    fn pull(&mut self, tag: &'static str) -> Result<(), Failed> {
        self.report.operation("program: pull");
        let Some((directory, image)) = self.tags.get(tag).cloned() else { return self.check_tag(tag) };
        let target = tempfile::tempdir_in(&self.directory).expect("a directory");
        let name = self.name(&format!(":{tag}"));
        if self.random.once_in(2) {
            let to = format!("oci:{}:pulled", target.path().display());
            self.run(skopeo().args(["--src-tls-verify=false", &format!("docker://{name}"), &to]))?;
        } else {
            self.run(crane().args(["pull", "--format", "oci", &name]).arg(target.path()))?;
        }
        self.compare(&directory, target.path(), &image)
    }

    fn compare(&self, pushed: &Path, pulled: &Path, image: &Blob) -> Result<(), Failed> {
        for entry in fs::read_dir(pushed.join("blobs/sha256")).expect("a layout of our own") {
            let name = entry.expect("a readable directory").file_name();
            let path = |layout: &Path| layout.join("blobs/sha256").join(&name);
            if fs::read(path(pulled)).ok() != fs::read(path(pushed)).ok() {
                let detail = format!("{} of {}", name.display(), image.digest);
                self.report.failed("a program pulled other bytes", detail);
                return Err(Failed);
            }
        }
        Ok(())
    }

    fn retag(&mut self, tag: &'static str) -> Result<(), Failed> {
        self.report.operation("program: retag");
        let Some(from) = self.tags.keys().copied().find(|from| *from != tag) else { return self.push(tag) };
        self.run(crane().args(["tag", &self.name(&format!(":{from}")), tag]))?;
        let image = self.tags[from].clone();
        self.tags.insert(tag, image);
        self.check_tag(tag)
    }

    /// Deletes the manifest of a tag, and so every tag that names it.
    fn delete(&mut self, tag: &'static str) -> Result<(), Failed> {
        self.report.operation("program: delete");
        let Some((_, image)) = self.tags.get(tag).cloned() else { return self.push(tag) };
        if self.random.once_in(2) {
            let name = format!("docker://{}", self.name(&format!(":{tag}")));
            self.run(program("skopeo", "skopeo").args(["delete", "--tls-verify=false", &name]))?;
        } else {
            self.run(crane().args(["delete", &self.name(&format!("@{}", image.digest))]))?;
        }
        self.tags.retain(|_, (_, other)| other.digest != image.digest);
        TAGS.into_iter().try_for_each(|tag| self.check_tag(tag))
    }

    /// The tag names what it must, or is not there when it was deleted or never made.
    fn check_tag(&self, tag: &str) -> Result<(), Failed> {
        let output = crane().args(["digest", &self.name(&format!(":{tag}"))]).output().expect("crane starts");
        let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let right = match self.tags.get(tag) {
            Some((_, image)) => found == image.digest,
            None => !output.status.success() && said.contains("404"),
        };
        if right {
            return Ok(());
        }
        let expected = self.tags.get(tag).map(|(_, image)| image.digest.as_str());
        self.report.failed("crane digest: another answer", format!("{expected:?}, found {found:?} {said}"));
        Err(Failed)
    }

    fn run(&self, command: &mut Command) -> Result<(), Failed> {
        let output = command.stdin(Stdio::null()).output().expect("the program starts");
        if output.status.success() {
            return Ok(());
        }
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
        let verb = command.get_args().next().unwrap_or_default().display().to_string();
        let said = String::from_utf8_lossy(&output.stderr).chars().take(600).collect::<String>();
        self.report.failed(format!("{name} {verb} failed"), said);
        Err(Failed)
    }
}

fn crane() -> Command {
    go_tool("crane", "github.com/google/go-containerregistry/cmd/crane")
}

/// A copy of skopeo that changes no byte.
fn skopeo() -> Command {
    let mut command = program("skopeo", "skopeo");
    command.args(["copy", "--insecure-policy", "--quiet", "--preserve-digests"]);
    command
}
