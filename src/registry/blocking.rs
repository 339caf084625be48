//! Work on the volume, off the async threads and bounded.
//!
//! A volume on a server that hangs keeps a thread for each call until it returns. So each kind of work has a
//! number of places; a place is given back when the call returns, not when its request gave up. Who finds no
//! place, or whose call takes too long, is told that the volume does not answer; once the volume is known to hang
//! (`volume_watch`), at once.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::{RegistryError, volume_watch::VolumeWatch};

/// Places for calls on the volume, by kind, so that slow transfers do not keep out the look-ups of others.
#[derive(Clone, Debug)]
pub(super) struct Blocking {
    lookups: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
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

impl Blocking {
    pub(super) fn new(places: usize, deadline: Duration, watch: VolumeWatch) -> Self {
        let semaphore = || Arc::new(Semaphore::new(places));
        Self { lookups: semaphore(), reads: semaphore(), writes: semaphore(), deadline, watch }
    }

    /// Runs `operation` on a thread that may block.
    ///
    /// A commit of a large blob may take long to flush, so a write has ten times the deadline of the rest, unless
    /// the volume hangs.
    ///
    /// # Errors
    /// `Unavailable` when the volume hangs, or there is no place or no result in time, `Internal` when it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: Work,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RegistryError> {
        self.run_or_undo(work, operation, drop).await
    }

    /// The same; `undo` gets a result that nobody waits for any more, on the thread that may block. An operation that
    /// is refused is dropped on the async thread: what it owns must not wait for the volume then.
    pub(super) async fn run_or_undo<T: Send + 'static>(
        &self,
        work: Work,
        operation: impl FnOnce() -> T + Send + 'static,
        undo: impl FnOnce(T) + Send + 'static,
    ) -> Result<T, RegistryError> {
        if self.watch.is_hung() {
            self.watch.note_refused_hung();
            return Err(RegistryError::Unavailable(self.deadline));
        }
        let (places, periods) = match work {
            Work::Lookup => (&self.lookups, 1),
            Work::Read => (&self.reads, 1),
            Work::Write => (&self.writes, 10),
        };
        let Ok(place) = timeout(self.deadline, places.clone().acquire_owned()).await else {
            return Err(self.timed_out());
        };
        let place = place.map_err(|_| RegistryError::Internal)?;
        let (sender, mut receiver) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            if let Err(unwanted) = sender.send(operation()) {
                undo(unwanted);
            }
            drop(place);
        });
        for _ in 0..periods {
            if let Ok(result) = timeout(self.deadline, &mut receiver).await {
                return result.map_err(|_| RegistryError::Internal);
            }
            if self.watch.is_hung() {
                break;
            }
        }
        // From here on a result is undone; one that came at this very moment is taken.
        receiver.close();
        receiver.try_recv().map_err(|_| self.timed_out())
    }

    fn timed_out(&self) -> RegistryError {
        self.watch.note_timed_out();
        RegistryError::Unavailable(self.deadline)
    }
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
        assert_eq!(blocking.lookups.available_permits(), 0);
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
