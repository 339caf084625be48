//! The wire between a sandbox and the registry: carries TCP connections out of a network namespace,
//! counts what passes, and breaks at a chosen byte.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How often the acceptor looks for a connection.
const ACCEPT_POLL: Duration = Duration::from_millis(2);

/// A forwarder from an address in a network namespace to one on the host. Stops when dropped.
pub(crate) struct Link {
    state: Arc<State>,
    acceptor: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    to_server: Direction,
    to_client: Direction,
}

/// One direction of traffic, over all connections.
#[derive(Default)]
struct Direction {
    passed: AtomicU64,
    /// The count at which the next connection to reach it is broken; 0 for never.
    break_at: AtomicU64,
}

impl Link {
    /// Listens on `inside` in the network namespace `namespace` and connects to `outside`.
    pub(crate) fn start(namespace: &Path, inside: SocketAddr, outside: SocketAddr) -> Self {
        let namespace = File::open(namespace).expect("the sandbox has a network namespace");
        // A thread of its own: it stays in the namespace, and what it opened there works everywhere.
        let listener = thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("setns needs root");
            TcpListener::bind(inside).expect("the sandbox has the registry's address")
        })
        .join()
        .expect("the listener opens");
        listener.set_nonblocking(true).expect("a listener");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let acceptor = thread::spawn(move || accept(&listener, outside, &shared));
        Self { state, acceptor: Some(acceptor) }
    }

    /// Bytes sent by clients so far.
    pub(crate) fn bytes_to_server(&self) -> u64 {
        self.state.to_server.passed.load(Ordering::Relaxed)
    }

    /// Bytes sent by the registry so far.
    pub(crate) fn bytes_to_client(&self) -> u64 {
        self.state.to_client.passed.load(Ordering::Relaxed)
    }

    /// Breaks one connection, once, after clients have sent another `bytes`.
    pub(crate) fn break_after_sending(&self, bytes: u64) {
        self.state.to_server.arm(bytes);
    }

    /// Breaks one connection, once, after the registry has sent another `bytes`.
    pub(crate) fn break_after_receiving(&self, bytes: u64) {
        self.state.to_client.arm(bytes);
    }

    /// Whether the breaks that were asked for have happened.
    pub(crate) fn has_broken(&self) -> bool {
        [&self.state.to_server, &self.state.to_client]
            .iter()
            .all(|direction| direction.break_at.load(Ordering::Relaxed) == 0)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Direction {
    fn arm(&self, bytes: u64) {
        let at = self.passed.load(Ordering::Relaxed) + bytes;
        self.break_at.store(at, Ordering::Relaxed);
    }

    /// Counts `bytes`; true if the connection that carried them is the one to break.
    fn count_and_break(&self, bytes: u64) -> bool {
        let passed = self.passed.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let at = self.break_at.load(Ordering::Relaxed);
        at != 0
            && passed >= at
            && self.break_at.compare_exchange(at, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn accept(listener: &TcpListener, outside: SocketAddr, state: &Arc<State>) {
    while !state.stopped.load(Ordering::Relaxed) {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(ACCEPT_POLL);
            continue;
        };
        // A registry that is down looks like one: the connection closes.
        let Ok(server) = TcpStream::connect(outside) else {
            continue;
        };
        let _ = client.set_nonblocking(false);
        for (mut from, mut to, upwards) in
            [(duplicate(&client), duplicate(&server), true), (server, client, false)]
        {
            let state = Arc::clone(state);
            thread::spawn(move || {
                let direction = if upwards { &state.to_server } else { &state.to_client };
                carry(&mut from, &mut to, direction);
            });
        }
    }
}

fn duplicate(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a file descriptor is free")
}

fn carry(from: &mut TcpStream, to: &mut TcpStream, direction: &Direction) {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(length) if length > 0 => length,
            _ => break,
        };
        if direction.count_and_break(length as u64) {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
        if to.write_all(&buffer[..length]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
    // Half a close: the other direction may still be sending.
    let _ = to.shutdown(Shutdown::Write);
}
