//! The way from the host into the rig's network: ports on 127.0.0.1 whose connections go on to guests.
//!
//! The thread that makes the onward connections lives in the namespace, so no route and no address of the host
//! is needed. A port with several targets is the round robin in front of a registry: each new connection goes to
//! the next target, and to the one after it when that cannot be reached.

use std::{fs::File, io, net::SocketAddr, os::fd::AsFd, path::Path, thread, time::Duration};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

/// How long a connection to a guest may take: less than a client's patience, more than a busy guest needs.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

struct Port {
    listener: std::net::TcpListener,
    targets: Vec<SocketAddr>,
}

/// Forwards ports until it is dropped.
pub(super) struct Gateway {
    ports: mpsc::UnboundedSender<Port>,
}

impl Gateway {
    pub(super) fn start(namespace: &str) -> Self {
        let file = File::open(Path::new("/run/netns").join(namespace)).expect("the rig's own namespace");
        let (ports, mut opened) = mpsc::unbounded_channel::<Port>();
        thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter a namespace");
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                while let Some(port) = opened.recv().await {
                    tokio::spawn(forward(port));
                }
            });
        });
        Self { ports }
    }

    /// A new port on 127.0.0.1 in front of `targets`.
    pub(super) fn open(&self, targets: Vec<SocketAddr>) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener of our own");
        let address = listener.local_addr().expect("a bound listener has an address");
        self.ports.send(Port { listener, targets }).expect("the thread runs as long as we do");
        address
    }
}

async fn forward(port: Port) {
    let listener = TcpListener::from_std(port.listener).expect("a listener of this thread");
    let mut next = 0;
    while let Ok((from_host, _)) = listener.accept().await {
        let count = port.targets.len();
        let order: Vec<_> = (0..count).map(|step| port.targets[(next + step) % count]).collect();
        next += 1;
        tokio::spawn(async move {
            // A connection that breaks is for its two ends to notice.
            let _ = pass_on(from_host, order).await;
        });
    }
}

async fn pass_on(mut from_host: TcpStream, targets: Vec<SocketAddr>) -> io::Result<()> {
    for target in targets {
        let Ok(Ok(mut to_guest)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await else {
            continue;
        };
        from_host.set_nodelay(true)?;
        to_guest.set_nodelay(true)?;
        tokio::io::copy_bidirectional(&mut from_host, &mut to_guest).await?;
        return Ok(());
    }
    Ok(())
}
