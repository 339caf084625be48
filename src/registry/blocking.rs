//! Work on the volume, off the async threads and bounded.
//!
//! A volume on a server that hangs keeps a thread for each call until it returns. So each kind of work has a
//! number of places; a place is given back when the call returns, not when its request gave up. Who finds no
//! place, or whose call takes too long, is told that the volume does not answer.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

use super::RegistryError;

/// Places for calls on the volume, by kind, so that slow transfers do not keep out the look-ups of others.
#[derive(Clone, Debug)]
pub(super) struct Blocking {
    lookups: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    deadline: Duration,
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
    pub(super) fn new(places: usize, deadline: Duration) -> Self {
        let semaphore = || Arc::new(Semaphore::new(places));
        Self { lookups: semaphore(), reads: semaphore(), writes: semaphore(), deadline }
    }

    /// Runs `operation` on a thread that may block.
    ///
    /// A commit of a large blob may take long to flush, so writes have ten times the deadline of the rest.
    ///
    /// # Errors
    /// `Unavailable` when there is no place or no result in time, `Internal` when it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: Work,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RegistryError> {
        let (places, deadline) = match work {
            Work::Lookup => (&self.lookups, self.deadline),
            Work::Read => (&self.reads, self.deadline),
            Work::Write => (&self.writes, self.deadline * 10),
        };
        let unavailable = |_| RegistryError::Unavailable(deadline);
        let place = timeout(deadline, places.clone().acquire_owned()).await.map_err(unavailable)?;
        let place = place.map_err(|_| RegistryError::Internal)?;
        let task = tokio::task::spawn_blocking(move || {
            let result = operation();
            drop(place);
            result
        });
        timeout(deadline, task).await.map_err(unavailable)?.map_err(|_| RegistryError::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hung_volume_is_told_and_its_threads_stay_bounded() {
        let blocking = Blocking::new(2, Duration::from_millis(30));
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let hang = Arc::new(std::sync::Mutex::new(hang));
        for _ in 0..5 {
            let hang = hang.clone();
            let result = blocking.run(Work::Lookup, move || hang.lock().unwrap().recv()).await;
            assert!(matches!(result, Err(RegistryError::Unavailable(_))));
        }
        assert_eq!(blocking.lookups.available_permits(), 0);
        assert!(blocking.run(Work::Read, || 1).await.is_ok(), "other kinds of work go on");
        drop(release);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(blocking.run(Work::Lookup, || 1).await.is_ok(), "and all goes on when it answers again");
    }
}
