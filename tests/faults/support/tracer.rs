//! Sees every system call of a server on its volume, in the order in which they are made, and makes chosen ones
//! fail, come back short, or be the last.
//!
//! What `strace --inject` does, with one count for the whole process instead of one for each thread, restricted
//! to the volume by the path behind each argument, and without a new strace for each of thousands of cases.
//! `comparison.rs` holds it against strace. The registers are those of x86-64.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use nix::{
    errno::Errno,
    libc::user_regs_struct,
    sys::{
        ptrace::{self, Options},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::calls::{self, Entered, Process};

/// What happens at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The process dies before the call is made.
    Kill,
    /// The call is not made and gives this error, once.
    Once(&'static str),
    /// This call and all later ones of its kind give this error.
    SameCall(&'static str),
    /// Every later call on the volume that can gives this error.
    All(&'static str),
    /// The call is made and gives this error: a reply that was lost on the way.
    LostReply(&'static str),
    /// Half of the bytes are read or written.
    Short,
    /// This call and all later ones do not come back until the fault is lifted, nor before the process makes its
    /// next call after that.
    Hang,
}

/// A call on the volume.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its name.
    pub(crate) name: &'static str,
    /// The errors that it can give.
    pub(crate) errors: &'static [&'static str],
    /// What it was about, relative to the volume.
    pub(crate) path: PathBuf,
    /// Whether it was made to fail.
    pub(crate) injected: bool,
}

#[derive(Default)]
struct Plan {
    fault: Option<(usize, Effect)>,
    calls: Vec<Seen>,
    ended: bool,
}

/// A server under trace. Dropping it kills the process.
pub(crate) struct Tracer {
    pid: i32,
    plan: Arc<Mutex<Plan>>,
    thread: Option<JoinHandle<()>>,
}

impl Tracer {
    /// Starts a program whose volume is `volume`.
    pub(crate) fn spawn(mut command: Command, volume: &Path) -> Self {
        let (plan, volume) = (Arc::new(Mutex::new(Plan::default())), volume.to_path_buf());
        let started = Arc::new((Mutex::new(None), Condvar::new()));
        let (shared, tell) = (plan.clone(), started.clone());
        let thread = thread::spawn(move || {
            // Whoever traces must be the one who waits: so the process is this thread's child.
            #[expect(
                clippy::zombie_processes,
                reason = "the loop below waits for every process that it traces"
            )]
            let child = command.spawn().expect("the server program starts");
            let pid = i32::try_from(child.id()).expect("a process id");
            attach(pid);
            *lock(&tell.0) = Some(pid);
            tell.1.notify_all();
            Loop {
                volume,
                process: Process::open(pid),
                pid,
                plan: shared,
                inside: HashMap::new(),
                hanging: Vec::new(),
            }
            .run();
        });
        let mut pid = lock(&started.0);
        while pid.is_none() {
            pid = started.1.wait(pid).unwrap_or_else(PoisonError::into_inner);
        }
        let pid = pid.expect("just awaited");
        Self { pid, plan, thread: Some(thread) }
    }

    /// Begins to count calls anew, and plans what happens at call number `at`, from 0.
    pub(crate) fn arm(&self, fault: Option<(usize, Effect)>) {
        let mut plan = lock(&self.plan);
        plan.fault = fault;
        plan.calls.clear();
    }

    /// Lifts the fault; gives the calls since it was armed.
    pub(crate) fn disarm(&self) -> Vec<Seen> {
        let mut plan = lock(&self.plan);
        plan.fault = None;
        std::mem::take(&mut plan.calls)
    }

    /// Whether the process has ended.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.plan).ended
    }

    /// The process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if !self.has_ended() {
            kill(self.pid);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Takes all threads of a process under trace. Those that a traced thread makes are traced from their first step,
/// so it is enough to look until there is none that is not.
fn attach(pid: i32) {
    let mut attached = BTreeSet::new();
    loop {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("our own child").flatten();
        let threads: Vec<i32> =
            tasks.filter_map(|task| task.file_name().to_str().and_then(|name| name.parse().ok())).collect();
        let before = attached.len();
        for thread in threads.into_iter().filter(|&thread| attached.insert(thread)) {
            match ptrace::seize(Pid::from_raw(thread), OPTIONS) {
                Ok(()) => ptrace::interrupt(Pid::from_raw(thread)).expect("a thread that we trace"),
                // Traced already, or gone.
                Err(Errno::EPERM | Errno::ESRCH) => {}
                Err(error) => panic!("our own child can be traced: {error}"),
            }
        }
        if attached.len() == before {
            return;
        }
    }
}

const OPTIONS: Options =
    Options::PTRACE_O_TRACESYSGOOD.union(Options::PTRACE_O_TRACECLONE).union(Options::PTRACE_O_EXITKILL);

/// Calls that can come back with less than they were asked for.
pub(crate) const TRANSFERS: &[&str] = &["read", "pread64", "write", "pwrite64", "pwritev"];

/// Calls whose outcome a file server may be asked for again when the reply was lost.
const REPLIES_LOST: &[&str] = &["rename", "unlink", "mkdir", "linkat"];

/// What to do when a call comes back.
enum AtExit {
    Nothing,
    Give(i64),
    /// It has not even been made.
    Hang,
}

struct Loop {
    volume: PathBuf,
    process: Process,
    pid: i32,
    plan: Arc<Mutex<Plan>>,
    inside: HashMap<Pid, AtExit>,
    hanging: Vec<Pid>,
}

impl Loop {
    fn run(mut self) {
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            let signal = match waitpid(Pid::from_raw(-1), Some(flags)) {
                Err(Errno::EINTR) | Ok(WaitStatus::StillAlive | WaitStatus::Continued(_)) => continue,
                Err(_) => break,
                Ok(WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..)) => {
                    self.inside.remove(&thread);
                    continue;
                }
                Ok(WaitStatus::PtraceSyscall(thread)) => {
                    if self.at_call(thread) {
                        self.hanging.push(thread);
                        continue;
                    }
                    if lock(&self.plan).fault.is_none() {
                        for thread in self.hanging.drain(..) {
                            let _ = ptrace::syscall(thread, None);
                        }
                    }
                    (thread, None)
                }
                Ok(WaitStatus::Stopped(thread, signal)) => (thread, Some(signal)),
                Ok(WaitStatus::PtraceEvent(thread, ..)) => (thread, None),
            };
            // A thread that was killed meanwhile is no longer there to go on.
            let _ = ptrace::syscall(signal.0, signal.1);
        }
        lock(&self.plan).ended = true;
    }

    /// Whether the thread shall hang in this call.
    fn at_call(&mut self, thread: Pid) -> bool {
        let Ok(mut registers) = ptrace::getregs(thread) else { return false };
        if let Some(exit) = self.inside.remove(&thread) {
            if let AtExit::Give(result) = exit {
                registers.rax = result.cast_unsigned();
                let _ = ptrace::setregs(thread, registers);
            }
            return false;
        }
        let entered = self.process.call(&registers).filter(|call| calls::is_below(&call.path, &self.volume));
        let exit = entered.map_or(AtExit::Nothing, |call| self.on_volume(thread, &call, &mut registers));
        let hangs = matches!(exit, AtExit::Hang);
        self.inside.insert(thread, exit);
        hangs
    }

    fn on_volume(&self, thread: Pid, call: &Entered, registers: &mut user_regs_struct) -> AtExit {
        let mut plan = lock(&self.plan);
        let path = call.path.strip_prefix(&self.volume).unwrap_or(&call.path).to_path_buf();
        let number = plan.calls.len();
        let effect = plan.fault.and_then(|(at, effect)| {
            let first = plan.calls.get(at).map_or(call.kind.name, |first| first.name);
            effect_on(number, at, effect, call, first)
        });
        plan.calls.push(Seen { name: call.kind.name, errors: call.errors, path, injected: effect.is_some() });
        drop(plan);
        match effect {
            None => AtExit::Nothing,
            Some(Effect::Kill) => {
                kill(self.pid);
                AtExit::Nothing
            }
            Some(Effect::Hang) => AtExit::Hang,
            Some(Effect::Short) => {
                // Half of the bytes, or of the buffers.
                registers.rdx = (registers.rdx / 2).max(1);
                let _ = ptrace::setregs(thread, *registers);
                AtExit::Nothing
            }
            Some(Effect::LostReply(error)) => AtExit::Give(-calls::errno(error)),
            Some(Effect::Once(error) | Effect::SameCall(error) | Effect::All(error)) => {
                // The file is closed whatever close(2) says.
                if call.kind.name != "close" {
                    registers.orig_rax = u64::MAX;
                    let _ = ptrace::setregs(thread, *registers);
                }
                AtExit::Give(-calls::errno(error))
            }
        }
    }
}

fn effect_on(number: usize, at: usize, effect: Effect, call: &Entered, first: &str) -> Option<Effect> {
    let applies = match effect {
        _ if number < at => false,
        Effect::Once(error) => number == at && call.errors.contains(&error),
        Effect::SameCall(error) => call.kind.name == first && call.errors.contains(&error),
        Effect::All(error) => call.errors.contains(&error),
        Effect::Short => number == at && TRANSFERS.contains(&call.kind.name),
        Effect::LostReply(_) => number == at && REPLIES_LOST.contains(&call.kind.name),
        Effect::Kill => number == at,
        Effect::Hang => true,
    };
    applies.then_some(effect)
}

fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
