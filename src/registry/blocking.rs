//! Work on the volume, off the async threads and bounded.
//!
//! A volume on a server that hangs keeps a thread for each call until it returns. So each kind of work has a
//! number of places; a place is given back when the call returns, not when its request gave up. Who finds no
//! place, or whose call takes too long, is told that the volume does not answer; once the volume is known to hang
//! (`volume_watch`), at once.

use std::{sync::Arc, thread, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use super::{RegistryError, job_queue::JobQueue, volume_watch::VolumeWatch};
use crate::observability::traces;

/// Places for calls on the volume, by kind, so that slow transfers do not keep out the look-ups of others.
#[derive(Clone)]
pub(super) struct Blocking {
    lookups: Lane,
    reads: Lane,
    writes: Lane,
    deadline: Duration,
    watch: VolumeWatch,
}

/// A kind of call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// Links, tags, manifests, listings.
    Lookup,
    /// A block of a blob.
    Read,
    /// A block of an upload, or its commit.
    Write,
}

impl Work {
    /// Names a span.
    fn name(self) -> &'static str {
        match self {
            Self::Lookup => "volume lookup",
            Self::Read => "volume read",
            Self::Write => "volume write",
        }
    }
}

/// The places for one kind of work, and the threads that do it.
#[derive(Clone)]
struct Lane {
    places: Arc<Semaphore>,
    queue: Arc<JobQueue>,
    /// How many deadlines a call may take.
    deadlines: usize,
}

impl Lane {
    fn new(places: usize, threads: usize, deadlines: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), queue: JobQueue::new(threads), deadlines }
    }

    /// Queues a call; the place is given back when it has returned.
    fn submit<T: Send + 'static>(
        &self,
        place: OwnedSemaphorePermit,
        operation: impl FnOnce() -> T + Send + 'static,
        undo: impl FnOnce(T) + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.queue.submit(move || {
            if let Err(unwanted) = sender.send(operation()) {
                undo(unwanted);
            }
            drop(place);
        });
        receiver
    }
}

impl Blocking {
    pub(super) fn new(places: usize, deadline: Duration, watch: VolumeWatch) -> Self {
        // A write waits for a disk, so it never waits for another; the others mostly find what they ask for in memory.
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            lookups: Lane::new(places, processors, 1),
            reads: Lane::new(places, processors, 1),
            writes: Lane::new(places, places, 10),
            deadline,
            watch,
        }
    }

    /// Runs `operation` on a thread that may block. It begins at once, before the result is waited for, unless all
    /// places are taken.
    ///
    /// A commit of a large blob may take long to flush, so a write has ten times the deadline of the rest, unless
    /// the volume hangs.
    ///
    /// # Errors
    /// `Unavailable` when the volume hangs, or there is no place or no result in time, `Internal` when it panicked.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: Work,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, RegistryError>> + Send + 'static {
        self.run_or_undo(work, operation, drop)
    }

    /// The same; `undo` gets a result that nobody waits for any more, on the thread that may block. An operation that
    /// is refused is dropped on the async thread: what it owns must not wait for the volume then.
    pub(super) fn run_or_undo<T: Send + 'static>(
        &self,
        work: Work,
        operation: impl FnOnce() -> T + Send + 'static,
        undo: impl FnOnce(T) + Send + 'static,
    ) -> impl Future<Output = Result<T, RegistryError>> + Send + 'static {
        let lane = match work {
            Work::Lookup => &self.lookups,
            Work::Read => &self.reads,
            Work::Write => &self.writes,
        };
        let (lane, deadline, watch) = (lane.clone(), self.deadline, self.watch.clone());
        let traced = traces::volume_call(work.name());
        let started = if watch.is_hung() {
            watch.note_refused_hung();
            Err(None)
        } else {
            match lane.places.clone().try_acquire_owned() {
                Ok(place) => Ok(lane.submit(place, operation, undo)),
                Err(_) => Err(Some((operation, undo))),
            }
        };
        async move {
            let _traced = traced;
            let receiver = match started {
                Ok(receiver) => receiver,
                Err(None) => return Err(RegistryError::Unavailable(deadline)),
                Err(Some((operation, undo))) => {
                    let Ok(place) = timeout(deadline, lane.places.clone().acquire_owned()).await else {
                        return Err(timed_out(&watch, deadline));
                    };
                    lane.submit(place.map_err(|_| RegistryError::Internal)?, operation, undo)
                }
            };
            result(receiver, &lane, deadline, &watch).await
        }
    }
}

/// Waits for the result of a call until its deadline.
async fn result<T>(
    mut receiver: oneshot::Receiver<T>,
    lane: &Lane,
    deadline: Duration,
    watch: &VolumeWatch,
) -> Result<T, RegistryError> {
    for _ in 0..lane.deadlines {
        if let Ok(result) = timeout(deadline, &mut receiver).await {
            return result.map_err(|_| RegistryError::Internal);
        }
        if watch.is_hung() {
            break;
        }
    }
    // From here on a result is undone; one that came at this very moment is taken.
    receiver.close();
    receiver.try_recv().map_err(|_| timed_out(watch, deadline))
}

fn timed_out(watch: &VolumeWatch, deadline: Duration) -> RegistryError {
    watch.note_timed_out();
    RegistryError::Unavailable(deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hung_volume_is_told_and_its_threads_stay_bounded() {
        let blocking = Blocking::new(2, Duration::from_millis(30), VolumeWatch::new(0));
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let hang = Arc::new(std::sync::Mutex::new(hang));
        for _ in 0..5 {
            let hang = hang.clone();
            let result = blocking.run(Work::Lookup, move || hang.lock().unwrap().recv()).await;
            assert!(matches!(result, Err(RegistryError::Unavailable(_))));
        }
        assert_eq!(blocking.lookups.places.available_permits(), 0);
        assert!(blocking.run(Work::Read, || 1).await.is_ok(), "other kinds of work go on");
        let (undone, undo) = std::sync::mpsc::channel();
        let late = blocking.run_or_undo(
            Work::Write,
            || std::thread::sleep(Duration::from_secs(2)),
            move |()| undone.send(()).unwrap(),
        );
        assert!(late.await.is_err());
        assert!(undo.recv_timeout(Duration::from_secs(10)).is_ok(), "what comes too late is undone");
        drop(release);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(blocking.run(Work::Lookup, || 1).await.is_ok(), "and all goes on when it answers again");
    }
}
