//! Puts events on disk, in the order in which they were told: a thread, so that whoever tells of something that nobody
//! relies on need not wait for a disk.

use std::{io, sync::Arc, thread};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::queue::{Entry, Queue};
use crate::observability::{Seldom, traffic};

/// Events that may wait for the disk.
const MOST_WAITING: usize = 4096;

/// Events written at once: the directory is flushed once for all of them.
const BATCH: usize = 256;

/// An event and the queues of its targets.
struct Job {
    envelope: Bytes,
    queues: Vec<Arc<Queue>>,
    /// Who waits until it is on stable storage.
    done: Option<oneshot::Sender<()>>,
}

/// Takes events in. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    lost: Arc<Seldom>,
}

impl Writer {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel(MOST_WAITING);
        thread::Builder::new().name("events".to_owned()).spawn(move || write_all(jobs))?;
        Ok(Self::to(sender))
    }

    fn to(jobs: mpsc::Sender<Job>) -> Self {
        Self { jobs, lost: Arc::default() }
    }

    /// Returns when the event, and all that were told before it, are on stable storage.
    pub(super) async fn keep(&self, envelope: Bytes, queues: Vec<Arc<Queue>>) {
        let (done, kept) = oneshot::channel();
        // The thread lives as long as the process.
        let _ = self.jobs.send(Job { envelope, queues, done: Some(done) }).await;
        let _ = kept.await;
    }

    /// Returns at once. The event is lost when too many wait for the disk, or when the power goes.
    pub(super) fn keep_soon(&self, envelope: Bytes, queues: Vec<Arc<Queue>>) {
        let targets = queues.len();
        if self.jobs.try_send(Job { envelope, queues, done: None }).is_ok() {
            return;
        }
        (0..targets).for_each(|_| traffic().lost_event());
        if let Some(lost) = self.lost.count(targets as u64) {
            tracing::error!(lost, "events of pulls are lost: too many wait for the disk of the queue");
        }
    }
}

fn write_all(mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while let Some(first) = jobs.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        write(&batch);
        for done in batch.drain(..).filter_map(|job| job.done) {
            let _ = done.send(());
        }
    }
}

/// Queue by queue; in each the events keep their order.
fn write(batch: &[Job]) {
    let mut queues: Vec<&Arc<Queue>> = Vec::new();
    for queue in batch.iter().flat_map(|job| &job.queues) {
        if !queues.iter().any(|known| Arc::ptr_eq(known, queue)) {
            queues.push(queue);
        }
    }
    for queue in queues {
        let of_queue = batch.iter().filter(|job| job.queues.iter().any(|its| Arc::ptr_eq(its, queue)));
        let entries = of_queue.map(|job| Entry { envelope: &job.envelope, durable: job.done.is_some() });
        queue.put(&entries.collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_lost_and_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let queue = Arc::new(Queue::open(directory.path()).unwrap());
        // Nobody writes.
        let (sender, mut jobs) = mpsc::channel(1);
        let writer = Writer::to(sender);
        for _ in 0..4 {
            writer.keep_soon(Bytes::new(), vec![Arc::clone(&queue), Arc::clone(&queue)]);
        }
        assert_eq!(writer.lost.count(0), None, "it was told a moment ago");
        assert!(jobs.try_recv().is_ok() && jobs.try_recv().is_err(), "one found room");
    }
}
