//! A queue of calls on the volume, done by as few threads as keep up with it.
//!
//! To wake a thread costs more than most calls do when what they ask for is in memory. So a thread that is done with
//! one call takes the next, and another is woken only when fewer are at work than the queue may have from the start.
//! A slow volume is another matter, for its calls must not wait for each other: when those of late were not quick, each
//! gets a thread at once, and so does one that has waited.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// What a call takes that finds what it asks for in memory, with room for a busy machine; a call on NFS takes longer.
const QUICK: Duration = Duration::from_micros(300);

/// Something to do on a thread that may block.
type Job = Box<dyn FnOnce() + Send>;

/// Calls that wait for a thread, and how many threads are at work.
pub(super) struct JobQueue {
    state: Mutex<State>,
    threads: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    at_work: usize,
    /// Goes up to [`SLOW_AT_MOST`] with each call that was not quick, and down with each that was: what a busy machine
    /// makes of a few says nothing of the volume.
    slow: u8,
}

const SLOW_AT_MOST: u8 = 8;

impl State {
    fn took(&mut self, time: Duration) {
        self.slow =
            if time > QUICK { (self.slow + 1).min(SLOW_AT_MOST) } else { self.slow.saturating_sub(1) };
    }

    fn is_slow(&self) -> bool {
        self.slow > SLOW_AT_MOST / 2
    }
}

impl JobQueue {
    /// A queue that has up to `threads` threads as long as none of its calls waits.
    pub(super) fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), threads: threads.max(1) })
    }

    /// Queues a call; who waits for it asks for [`JobQueue::another_thread`] from time to time.
    pub(super) fn submit(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        state.jobs.push_back(Box::new(job));
        if state.at_work < self.threads || state.is_slow() {
            self.start(state);
        }
    }

    /// Another thread, if a call waits for one.
    pub(super) fn another_thread(self: &Arc<Self>) {
        let state = self.lock();
        if !state.jobs.is_empty() {
            self.start(state);
        }
    }

    fn start(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        state.at_work += 1;
        drop(state);
        let worker = Worker { queue: self.clone(), is_counted: true };
        tokio::task::spawn_blocking(move || worker.run());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread at work; counted until it is dropped.
struct Worker {
    queue: Arc<JobQueue>,
    is_counted: bool,
}

impl Worker {
    fn run(mut self) {
        let mut took = None;
        while let Some(job) = self.next(took) {
            let begun = Instant::now();
            job();
            took = Some(begun.elapsed());
        }
    }

    /// The next call, after one that took so long.
    fn next(&mut self, took: Option<Duration>) -> Option<Job> {
        let mut state = self.queue.lock();
        if let Some(took) = took {
            state.took(took);
        }
        let job = state.jobs.pop_front();
        if job.is_none() {
            // Under the lock that found nothing: what is queued from now on finds one thread less.
            state.at_work -= 1;
            self.is_counted = false;
        }
        job
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.is_counted {
            return;
        }
        let mut state = self.queue.lock();
        state.at_work -= 1;
        // A call panicked; without a panic the runtime ends, and nobody waits any more.
        if thread::panicking() && !state.jobs.is_empty() {
            self.queue.start(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn calls_wait_for_a_thread_until_somebody_asks_for_another() {
        let queue = JobQueue::new(1);
        let (release, hang) = mpsc::channel::<()>();
        let (sender, done) = mpsc::channel();
        queue.submit(move || hang.recv().unwrap_or_default());
        for number in 0..3 {
            let sender = sender.clone();
            queue.submit(move || sender.send(number).unwrap());
        }
        assert!(done.recv_timeout(Duration::from_millis(50)).is_err(), "the only thread is busy");
        queue.another_thread();
        let order: Vec<i32> = (0..3).map(|_| done.recv_timeout(Duration::from_secs(10)).unwrap()).collect();
        assert_eq!(order, [0, 1, 2], "one more thread does all that waits");
        drop(release);
    }

    #[tokio::test]
    async fn on_a_slow_volume_no_call_waits_for_another() {
        let queue = JobQueue::new(1);
        let (sender, done) = mpsc::channel();
        let slow = || thread::sleep(QUICK * 20);
        for _ in 0..SLOW_AT_MOST {
            let sender = sender.clone();
            queue.submit(move || {
                slow();
                sender.send(()).unwrap();
            });
            done.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        let (release, hang) = mpsc::channel::<()>();
        queue.submit(move || hang.recv().unwrap_or_default());
        queue.submit(move || sender.send(()).unwrap());
        assert!(done.recv_timeout(Duration::from_secs(10)).is_ok(), "it has a thread of its own");
        drop(release);
        let mut state = State::default();
        for time in [1, 9, 1, 1, 9, 9, 1, 9].map(|times| QUICK * times / 2) {
            state.took(time);
        }
        assert!(!state.is_slow(), "some are, but not most");
    }

    #[tokio::test]
    async fn a_call_that_panics_takes_no_thread_from_the_others() {
        let queue = JobQueue::new(1);
        let done = Arc::new(AtomicUsize::new(0));
        for number in 0..20 {
            let done = done.clone();
            queue.submit(move || {
                assert!(number % 2 == 0, "one of two panics");
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        for _ in 0..1000 {
            if done.load(Ordering::SeqCst) == 10 && queue.lock().at_work == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{} of 10 calls were done, {} threads at work",
            done.load(Ordering::SeqCst),
            queue.lock().at_work
        );
    }
}
