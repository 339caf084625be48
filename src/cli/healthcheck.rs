//! `pakhuis healthcheck`: asks the server that the same settings start whether it lives; for a container, which has
//! no other program.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use anyhow::ensure;
use clap::Args;

use super::serve::ServeSettings;
use crate::{config::Certificates, tls};

/// Ask the running server whether it lives
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 when it does, 1 when not.\n\nExamples:\n  pakhuis healthcheck --config /etc/pakhuis/pakhuis.toml\n  pakhuis healthcheck --ready --listen 127.0.0.1:5000"
)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    settings: ServeSettings,
    /// Ask whether it should get requests: the volume can be written and the certificate is valid
    #[arg(long)]
    ready: bool,
}

/// Above the 5 s that the server itself waits for the volume.
const PATIENCE: Duration = Duration::from_secs(8);

impl Healthcheck {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let config = self.settings.load()?;
        let (tcp, address) = connect(config.listen)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let answer = if config.certificates == Certificates::Off {
            ask(tcp, path)?
        } else {
            ask(tls::connect_to_ourselves(tcp)?, path)?
        };
        let (status, text) = answer.split_once('\r').unwrap_or((&answer, ""));
        let said = text.rsplit("\r\n").next().unwrap_or_default().trim();
        ensure!(status.contains(" 200 "), "{path} on {address}: {status} ({said})");
        writeln!(std::io::stdout(), "{said}")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Where a server that listens on `address` is reached from its own host, most likely first: one on all addresses of
/// IPv6 is on those of IPv4 as well, and a container may have no loopback of IPv6.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let (four, six) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let hosts = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![four],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![four, six],
        ip => vec![ip],
    };
    hosts.into_iter().map(|ip| SocketAddr::new(ip, address.port())).collect()
}

fn connect(listen: SocketAddr) -> anyhow::Result<(TcpStream, SocketAddr)> {
    let mut last = anyhow::anyhow!("no address");
    for address in reachable(listen) {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(tcp) => return Ok((tcp, address)),
            Err(error) => last = anyhow::Error::new(error).context(format!("nobody listens on {address}")),
        }
    }
    Err(last)
}

fn ask(mut stream: impl Read + Write, path: &str) -> anyhow::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut answer = Vec::new();
    // Far above what it says; an end without TLS's own is the server's, who may have been quicker.
    let _ = stream.take(4096).read_to_end(&mut answer);
    ensure!(!answer.is_empty(), "no answer within {PATIENCE:?}");
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_the_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:5000", "[127.0.0.1:5000]"),
            ("[::]:1", "[127.0.0.1:1, [::1]:1]"),
            ("10.0.0.1:2", "[10.0.0.1:2]"),
        ] {
            assert_eq!(format!("{:?}", reachable(listen.parse().unwrap())), expected);
        }
    }
}
