//! What calls on a mount do besides their work: nothing, or fail, wait, hang, or answer from a client's cache.

use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fuser::Errno;

use super::journal::Inode;

/// What a program asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Lookup,
    Attributes,
    SetAttributes,
    Open,
    Create,
    Read,
    Write,
    Truncate,
    /// close(2) of a file.
    Close,
    /// fsync of a file.
    Flush,
    OpenDirectory,
    List,
    /// fsync of a directory.
    FlushDirectory,
    MakeDirectory,
    Remove,
    RemoveDirectory,
    Rename,
    Link,
    Space,
}

impl Operation {
    /// Those that change something or make it durable: where a power cut makes a difference.
    pub(crate) const CHANGES: &[Self] = &[
        Self::Create,
        Self::Write,
        Self::Truncate,
        Self::Flush,
        Self::FlushDirectory,
        Self::MakeDirectory,
        Self::Remove,
        Self::RemoveDirectory,
        Self::Rename,
        Self::Link,
    ];
}

/// What happens to a call that a [`Fault`] meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    /// It fails and changes nothing.
    Error(Errno),
    /// It is done and fails all the same, as when the reply of an NFS server is lost.
    ErrorAfterwards(Errno),
    /// It waits for [`Gate::resume`] or [`Gate::abandon`].
    Hang,
    /// It takes this much longer.
    Delay(Duration),
}

/// Which calls are met, and how.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The kinds of calls; empty for all.
    pub(crate) on: &'static [Operation],
    /// Part of the path, from the mount, of the file, directory, or name concerned; empty for all.
    pub(crate) path: String,
    /// How many such calls pass before.
    pub(crate) after: usize,
    /// How many are met then.
    pub(crate) times: usize,
    /// How they are met.
    pub(crate) effect: Effect,
}

impl Fault {
    /// The first such call from now on, and no further one.
    pub(crate) fn once(on: &'static [Operation], effect: Effect) -> Self {
        Self { on, path: String::new(), after: 0, times: 1, effect }
    }

    /// Every such call from now on.
    pub(crate) fn always(on: &'static [Operation], effect: Effect) -> Self {
        Self { times: usize::MAX, ..Self::once(on, effect) }
    }

    /// Lets some such calls pass before.
    pub(crate) fn after(self, after: usize) -> Self {
        Self { after, ..self }
    }

    /// Only on paths that have this in them.
    pub(crate) fn on_path(self, part: &str) -> Self {
        Self { path: part.to_owned(), ..self }
    }
}

/// Every call on a mount passes here first.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    faults: Vec<Fault>,
    calls: usize,
    changes: usize,
    met: usize,
    hanging: usize,
    hangs: bool,
    abandoned: bool,
    cache_time: Duration,
    cache: HashMap<(Inode, String), (Option<Inode>, Instant)>,
}

impl Gate {
    /// Adds a fault to those there are; of several that meet a call, the first counts.
    pub(crate) fn add(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Takes all faults away. Calls that hang go on hanging.
    pub(crate) fn clear(&self) {
        self.lock().faults.clear();
    }

    /// Every call waits from now on, as on a hard NFS mount whose server is gone.
    pub(crate) fn hang(&self) {
        self.lock().hangs = true;
    }

    /// Calls that wait are done now, and no further one waits. Faults stay.
    pub(crate) fn resume(&self) {
        self.lock().hangs = false;
        self.changed.notify_all();
    }

    /// Calls that wait, and all that come, fail with EIO and change nothing: the client is gone.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.hangs = false;
        drop(state);
        self.changed.notify_all();
    }

    /// Ends [`Gate::abandon`]: another program may use the mount.
    pub(crate) fn admit(&self) {
        self.lock().abandoned = false;
    }

    /// Whether there are faults.
    pub(crate) fn is_faulty(&self) -> bool {
        !self.lock().faults.is_empty()
    }

    /// How many calls there were, and how many of them were changes or flushes.
    pub(crate) fn calls(&self) -> (usize, usize) {
        let state = self.lock();
        (state.calls, state.changes)
    }

    /// How many calls a fault has met.
    pub(crate) fn met(&self) -> usize {
        self.lock().met
    }

    /// How many calls wait now.
    pub(crate) fn hanging(&self) -> usize {
        self.lock().hanging
    }

    /// Answers lookups from what this client saw before, absence included, for this long or until it opens the
    /// directory, as an NFS client does. What it sees open that has no name left is looked up afresh (ESTALE).
    pub(crate) fn cache_names(&self, time: Duration) {
        let mut state = self.lock();
        state.cache_time = time;
        state.cache.clear();
    }

    /// Whether a fault asks for the path of a call.
    pub(super) fn wants_path(&self) -> bool {
        self.lock().faults.iter().any(|fault| !fault.path.is_empty())
    }

    /// Lets a call pass: `Ok(Some)` when it shall be done and fail afterwards.
    pub(super) fn pass(&self, operation: Operation, path: &str) -> Result<Option<Errno>, Errno> {
        let mut state = self.lock();
        state.calls += 1;
        state.changes += usize::from(Operation::CHANGES.contains(&operation));
        let effect = state.effect(operation, path);
        if let Some(Effect::Delay(time)) = effect {
            drop(state);
            std::thread::sleep(time);
            state = self.lock();
        }
        if matches!(effect, Some(Effect::Hang)) {
            state.hangs = true;
        }
        while state.hangs && !state.abandoned {
            state.hanging += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.hanging -= 1;
        }
        match effect {
            _ if state.abandoned => Err(Errno::EIO),
            Some(Effect::Error(error)) => Err(error),
            Some(Effect::ErrorAfterwards(error)) => Ok(Some(error)),
            _ => Ok(None),
        }
    }

    /// What this client believes a name to mean, if it still believes anything.
    pub(super) fn cached(&self, directory: Inode, name: &str) -> Option<Option<Inode>> {
        let state = self.lock();
        let (inode, seen) = state.cache.get(&(directory, name.to_owned()))?;
        (seen.elapsed() < state.cache_time).then_some(*inode)
    }

    /// What this client saw or did.
    pub(super) fn saw(&self, directory: Inode, name: &str, inode: Option<Inode>) {
        let mut state = self.lock();
        if !state.cache_time.is_zero() {
            state.cache.insert((directory, name.to_owned()), (inode, Instant::now()));
        }
    }

    /// This client opened a directory: what it believed of it is asked again.
    pub(super) fn opened(&self, directory: Inode) {
        self.lock().cache.retain(|(parent, _), _| *parent != directory);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn effect(&mut self, operation: Operation, path: &str) -> Option<Effect> {
        for fault in &mut self.faults {
            let meets = fault.on.is_empty() || fault.on.contains(&operation);
            if !meets || !(fault.path.is_empty() || path.contains(&fault.path)) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.times > 0 {
                fault.times -= 1;
                self.met += 1;
                return Some(fault.effect);
            }
        }
        None
    }
}
