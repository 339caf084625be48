//! What systemd and its like are told (`sd_notify(3)`), and the socket they may hand over (`sd_listen_fds(3)`).

use std::{
    env, io,
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

/// Tells the supervisor, if there is one, in the words of `sd_notify(3)`: `READY=1`, `STOPPING=1`.
pub fn notify(state: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(path.as_encoded_bytes(), state) {
        tracing::warn!(%error, state, "the supervisor cannot be told");
    }
}

fn send(path: &[u8], state: &str) -> io::Result<()> {
    // An at sign stands for the zero byte of an abstract name.
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::path::Path::new(
            std::str::from_utf8(path).map_err(io::Error::other)?,
        ))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

/// Says that the server lives, twice in each span that the supervisor waits, until `shutdown`: from a task, so that it
/// falls silent when tasks do not run.
pub fn keep_watchdog(shutdown: CancellationToken) {
    let span = env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok()).map(Duration::from_micros);
    let ours = env::var("WATCHDOG_PID").ok().is_none_or(|pid| pid == std::process::id().to_string());
    let (Some(span), true) = (span, ours) else { return };
    tokio::spawn(async move {
        loop {
            notify("WATCHDOG=1");
            tokio::select! {
                // Draining takes its own time, which the supervisor bounds otherwise.
                () = shutdown.cancelled() => notify("WATCHDOG=1"),
                () = tokio::time::sleep(span / 2) => {}
            }
            if shutdown.is_cancelled() {
                tokio::time::sleep(span / 2).await;
            }
        }
    });
}

/// The listening socket that was handed over, if one was: it goes on existing while the server is replaced, and
/// connections wait in it.
///
/// # Errors
/// When what was handed over is no listening TCP socket.
pub fn inherited_listener() -> io::Result<Option<TcpListener>> {
    listenfd::ListenFd::from_env().take_tcp_listener(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_abstract_names_are_both_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let daemon = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_encoded_bytes(), "READY=1").unwrap();
        let name = format!("pakhuis-test-{}", std::process::id());
        let abstract_daemon =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
        send(format!("@{name}").as_bytes(), "STOPPING=1").unwrap();
        let mut buffer = [0; 20];
        let length = daemon.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        let length = abstract_daemon.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STOPPING=1");
    }
}
