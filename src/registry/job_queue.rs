//! A queue of calls on the volume, done by as few threads as keep up with it.
//!
//! To wake a thread costs more than most calls do when what they ask for is in memory. So a thread that is done with
//! one call takes the next, and another is woken only when fewer are at work than the queue may have from the start.
//! A slow volume is another matter, for its calls must not wait for each other: when those of late were not quick, each
//! gets a thread at once, and so does one that has waited for 2 to 4 ms.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// What a call takes that finds what it asks for in memory, with room for a busy machine; a call on NFS takes longer.
const QUICK: Duration = Duration::from_micros(300);

/// How long a call may wait for a thread.
const PATIENCE: Duration = Duration::from_millis(2);

/// Something to do on a thread that may block.
type Job = Box<dyn FnOnce() + Send>;

/// Calls that wait for a thread, and how many threads are at work.
pub(super) struct JobQueue {
    state: Mutex<State>,
    threads: usize,
}

#[derive(Default)]
struct State {
    /// Each with when it was queued.
    jobs: VecDeque<(Instant, Job)>,
    at_work: usize,
    /// Of these, how many have not come to take a call yet.
    starting: usize,
    /// Whether somebody looks after the calls that wait.
    is_watched: bool,
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

    /// How many calls have waited too long, beyond those that a thread is on its way for.
    fn overdue(&self) -> usize {
        let waited = self.jobs.iter().take_while(|(queued, _)| queued.elapsed() >= PATIENCE);
        waited.count().saturating_sub(self.starting)
    }
}

impl JobQueue {
    /// A queue that has up to `threads` threads as long as none of its calls waits.
    pub(super) fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), threads: threads.max(1) })
    }

    /// Queues a call.
    pub(super) fn submit(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        state.jobs.push_back((Instant::now(), Box::new(job)));
        if state.at_work < self.threads || state.is_slow() {
            self.start(state, 1);
        } else if !std::mem::replace(&mut state.is_watched, true) {
            drop(state);
            tokio::spawn(self.clone().watch());
        }
    }

    /// Starts a thread for each call that has waited too long, until none waits. One timer for all of them: a timer for
    /// each would wake the thread that waits for the network each time.
    async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PATIENCE).await;
            let mut state = self.lock();
            if state.jobs.is_empty() {
                state.is_watched = false;
                return;
            }
            let overdue = state.overdue();
            self.start(state, overdue);
        }
    }

    fn start(self: &Arc<Self>, mut state: MutexGuard<'_, State>, threads: usize) {
        state.at_work += threads;
        state.starting += threads;
        drop(state);
        for _ in 0..threads {
            let worker = Worker { queue: self.clone(), is_counted: true, has_come: false };
            tokio::task::spawn_blocking(move || worker.run());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread at work; counted until it is dropped.
struct Worker {
    queue: Arc<JobQueue>,
    is_counted: bool,
    /// Whether it has looked for its first call.
    has_come: bool,
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
        state.starting -= usize::from(!std::mem::replace(&mut self.has_come, true));
        if let Some(took) = took {
            state.took(took);
        }
        let job = state.jobs.pop_front().map(|(_, job)| job);
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
        state.starting -= usize::from(!self.has_come);
        // A call panicked; without a panic the runtime ends, and nobody waits any more.
        if thread::panicking() && !state.jobs.is_empty() {
            self.queue.start(state, 1);
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
    async fn a_call_that_has_waited_gets_a_thread_of_its_own() {
        let queue = JobQueue::new(1);
        let (release, hang) = mpsc::channel::<()>();
        let (sender, done) = mpsc::channel();
        queue.submit(move || hang.recv().unwrap_or_default());
        for number in 0..3 {
            let sender = sender.clone();
            queue.submit(move || sender.send(number).unwrap());
        }
        // This thread is the runtime's only one: until it waits nobody looks after the calls.
        assert!(done.recv_timeout(Duration::from_millis(50)).is_err(), "the only thread is busy");
        tokio::time::sleep(PATIENCE * 20).await;
        let mut numbers: Vec<i32> =
            (0..3).map(|_| done.recv_timeout(Duration::from_secs(10)).unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2]);
        let mut idle = false;
        for _ in 0..1000 {
            idle = !queue.lock().is_watched;
            if idle {
                break;
            }
            tokio::time::sleep(PATIENCE).await;
        }
        assert!(idle && queue.lock().starting == 0, "nothing goes on when nothing waits");
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
