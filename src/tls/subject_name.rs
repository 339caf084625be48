//! A name that a server certificate is for: a DNS name (a wildcard in front is allowed) or an IP address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::DnsName;

use super::TlsError;

/// A subject alternative name: what a client types as the registry's host, without the port.
///
/// An IP address must be written as such in the certificate; clients do not accept it as a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectName {
    /// A DNS name in lower case without a final dot; `*.` may stand in front.
    Dns(String),
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
}

impl FromStr for SubjectName {
    type Err = TlsError;

    /// Parses `registry.example.org`, `*.example.org`, `192.0.2.7`, `2001:db8::7` or `[2001:db8::7]`.
    ///
    /// # Errors
    /// [`TlsError::Name`] for anything else, a port among them.
    fn from_str(name: &str) -> Result<Self, TlsError> {
        let refuse = |reason| TlsError::Name { name: name.to_owned(), reason };
        let unbracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        if let Ok(address) = unbracketed.parse() {
            return Ok(Self::Ip(address));
        }
        if name.is_empty() {
            return Err(refuse("it is empty"));
        }
        if name.contains(':') {
            return Err(refuse("a certificate is for a host on every port; leave out the port or scheme"));
        }
        if !name.is_ascii() {
            return Err(refuse("write an international name in its xn-- form"));
        }
        let lower = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let host = lower.strip_prefix("*.").unwrap_or(&lower);
        DnsName::try_from(host).map_err(|_| refuse("it is neither a host name nor an IP address"))?;
        Ok(Self::Dns(lower))
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => formatter.write_str(name),
            Self::Ip(address) => address.fmt(formatter),
        }
    }
}

impl SubjectName {
    /// Parses a list and drops duplicates, keeping the order.
    pub(super) fn parse_all(names: &[String]) -> Result<Vec<Self>, TlsError> {
        let mut parsed = Vec::new();
        for name in names {
            let name = name.parse()?;
            if !parsed.contains(&name) {
                parsed.push(name);
            }
        }
        if parsed.is_empty() { Err(TlsError::NoNames) } else { Ok(parsed) }
    }
}

/// The names for a certificate nobody gave names for: this host's name, `localhost`, `127.0.0.1` and `::1`.
///
/// A host name that cannot stand in a certificate is left out.
pub fn default_names() -> Vec<String> {
    let system = rustix::system::uname();
    let host = system.nodename().to_str().ok().and_then(|name| name.parse::<SubjectName>().ok());
    let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names: Vec<String> = host.into_iter().map(|name| name.to_string()).collect();
    names.extend(local.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
    names
}
