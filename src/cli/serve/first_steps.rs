//! What to type next: told on a terminal when the server starts.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::Path,
};

use crate::config::{Certificates, Config};

/// Tells on stderr how to add a user, trust the certificate, log in and push.
pub(super) fn tell(config: &Config, address: SocketAddr, ca_certificate: Option<&Path>) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        // Whoever closed the terminal does not read it.
        let _ = err.write_all(text(config, address, ca_certificate).as_bytes());
    }
}

fn text(config: &Config, address: SocketAddr, ca_certificate: Option<&Path>) -> String {
    let host = config.external_host.clone().unwrap_or_else(|| format!("localhost:{}", address.port()));
    let scheme = if config.certificates == Certificates::Off { "http" } else { "https" };
    let mut text = format!(
        "\nPakhuis serves {scheme}://{host}/ (listening on {address}). What to type next, in another terminal:\n\n"
    );
    if let Some(htpasswd) = &config.auth.htpasswd {
        // As it was typed: `cargo run` does not put the program on the path.
        let program = std::env::args().next().unwrap_or_else(|| "pakhuis".to_owned());
        text.push_str(&format!("  {program} add-user alice --htpasswd {}\n", htpasswd.display()));
    }
    if let Some(ca) = ca_certificate {
        text.push_str(&format!(
            "  sudo install -D -m 644 {} /etc/docker/certs.d/{host}/ca.crt\n",
            ca.display()
        ));
    }
    if config.auth.htpasswd.is_some() {
        text.push_str(&format!("  docker login -u alice {host}\n"));
    }
    text.push_str(&format!(
        "  docker pull hello-world\n  docker tag hello-world {host}/hello-world\n  docker push {host}/hello-world\n\n"
    ));
    text
}
