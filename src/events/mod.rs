//! Webhooks: what happened in the registry, told to other services in CNCF Distribution's envelope.
//!
//! An event is on disk, in [`queue`], before the request that caused it is answered, and stays there until its target
//! took it: so each event arrives once or more, also over a restart. A pull is different: it is told soon after it was
//! answered, since nobody waits for a disk to read, and its event may be lost when the power goes. Requests that come
//! one after the other are told in that order; of two at the same time either may come first. One thread a target
//! ([`delivery`]) sends them one after the other, in the order in which they were caused, which makes the order of a
//! repository right as well. An event that a target refuses for good, or that has waited too long, becomes a dead
//! letter: a file beside the queue. The queue belongs to one server and lies on its own disk, never on the volume of
//! the images.

mod delivery;
mod envelope;
mod layer;
mod queue;
mod sending;
mod writer;

use std::{io, path::PathBuf, sync::Arc, thread, time::Duration};

pub use envelope::{Action, Actor, Content, Event};
pub use layer::layer;
use queue::Queue;
use writer::Writer;

/// Where events wait, and who gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A directory of this server's own disk.
    pub queue: PathBuf,
    /// Who gets events.
    pub targets: Vec<Target>,
}

/// One service that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Names its directory in the queue.
    pub name: String,
    /// `http` or `https`, without a user.
    pub url: http::Uri,
    /// A file whose first line signs what is sent; read again for every event.
    pub secret_file: Option<PathBuf>,
    /// The authority of an `https` target, in PEM; that of the system when there is none.
    pub ca_certificate: Option<PathBuf>,
    /// What it wants to know of.
    pub actions: Vec<Action>,
    /// Whether blobs count too, or manifests alone.
    pub blobs: bool,
    /// Patterns of repositories, `*` for any characters; none is all.
    pub repositories: Vec<String>,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// The longest pause between two attempts.
    pub longest_pause: Duration,
    /// How long an event may wait for it.
    pub give_up: Duration,
}

impl Target {
    /// Whether it wants to know.
    pub fn wants(&self, event: &Event) -> bool {
        self.actions.contains(&event.action)
            && (self.blobs || !event.is_blob)
            && (self.repositories.is_empty()
                || self.repositories.iter().any(|pattern| matches(pattern, &event.target.repository)))
    }
}

/// Whether `text` is `pattern`, in which a `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Takes events in. Cloning is cheap.
#[derive(Clone)]
pub struct Events {
    targets: Arc<Vec<(Target, Arc<Queue>)>>,
    writer: Writer,
    /// Names this run of this server in every event.
    instance: Arc<str>,
}

impl Events {
    /// Opens the queues and starts to deliver what waits in them. Blocks.
    ///
    /// # Errors
    /// When a queue cannot be written: events would be lost.
    pub fn start(config: &Config) -> io::Result<Self> {
        let mut targets = Vec::new();
        for target in &config.targets {
            let queue = Arc::new(Queue::open(&config.queue.join(&target.name))?);
            let (worker, target_of_worker) = (Arc::clone(&queue), target.clone());
            thread::Builder::new()
                .name(format!("events {}", target.name))
                .spawn(move || delivery::run(&target_of_worker, &worker))?;
            targets.push((target.clone(), queue));
        }
        let instance = uuid::Uuid::new_v4().to_string().into();
        Ok(Self { targets: Arc::new(targets), writer: Writer::start()?, instance })
    }

    /// Puts an event into the queue of each target that wants it; returns when it is on disk, of a pull at once. What
    /// cannot be kept is logged and counted: what it tells of has happened already.
    pub async fn record(&self, mut event: Event) {
        event.source.instance = self.instance.to_string();
        let wanting = self.targets.iter().filter(|(target, _)| target.wants(&event));
        let queues: Vec<_> = wanting.map(|(_, queue)| Arc::clone(queue)).collect();
        if queues.is_empty() {
            return;
        }
        let envelope = event.envelope().into();
        match event.action {
            Action::Pull => self.writer.keep_soon(envelope, queues),
            Action::Push | Action::Mount | Action::Delete => self.writer.keep(envelope, queues).await,
        }
    }

    /// Waits until all that was told is on disk, for at most `longest`: before the process ends.
    pub async fn flush(&self, longest: Duration) {
        if tokio::time::timeout(longest, self.writer.keep(bytes::Bytes::new(), Vec::new())).await.is_err() {
            tracing::error!("the last events are lost: the disk of the queue does not take them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_is_a_name_with_stars() {
        for (pattern, text, expected) in [
            ("team/app", "team/app", true),
            ("team/app", "team/app2", false),
            ("team/*", "team/app", true),
            ("team/*", "team", false),
            ("*", "anything/at/all", true),
            ("*/app", "team/app", true),
            ("*/app", "team/application", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ab", "ab", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
