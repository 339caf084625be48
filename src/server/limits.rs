//! What one address may have at once, and which addresses are proxies that speak for others: can be changed while the
//! server runs.

use std::{net::IpAddr, str::FromStr, sync::Arc};

use arc_swap::ArcSwap;
use axum::http::HeaderMap;

use crate::auth::RemoteAddress;

/// The limits. An address is one of IPv4, or a /64 network of IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of one address that is no trusted proxy; more are closed at once.
    pub connections_per_address: usize,
    /// Requests of one address at once; more are answered 429.
    pub requests_per_address: usize,
    /// Bytes a second that a request body brings at least, over each [`request_stall`](super::Config::request_stall)
    /// of waiting for it. Time in which the server does not ask for more does not count.
    pub request_min_rate: u64,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_address: 8000,
            requests_per_address: 2000,
            request_min_rate: 256,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Limits that can be replaced; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct SharedLimits(Arc<ArcSwap<Limits>>);

impl SharedLimits {
    /// The limits now.
    pub fn get(&self) -> Arc<Limits> {
        self.0.load_full()
    }

    /// Replaces them, for requests and connections that begin from now on.
    pub fn set(&self, limits: Limits) {
        self.0.store(Arc::new(limits));
    }
}

impl From<Limits> for SharedLimits {
    fn from(limits: Limits) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(limits)))
    }
}

impl PartialEq for SharedLimits {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for SharedLimits {}

/// An address, or those that begin alike: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| ())?;
        if bits <= most { Ok(Self { address, bits }) } else { Err(()) }
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let cut = |address: IpAddr| match address {
            IpAddr::V4(a) => u128::from(a.to_bits()).checked_shr(32 - self.bits).unwrap_or(0),
            IpAddr::V6(a) => a.to_bits().checked_shr(128 - self.bits).unwrap_or(0),
        };
        let address = address.to_canonical();
        self.address.is_ipv4() == address.is_ipv4() && cut(self.address) == cut(address)
    }
}

impl Limits {
    /// Whether what a peer says of its clients is believed.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(peer))
    }

    /// Whom a request is from: the last address in `X-Forwarded-For` that is no trusted proxy. What stands before it
    /// may be the client's own invention.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> RemoteAddress {
        let mut client = peer;
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',').map(str::trim));
        while self.trusts(client) {
            match hops.next().map(str::parse::<IpAddr>) {
                Some(Ok(hop)) => client = hop.to_canonical(),
                Some(Err(_)) | None => break,
            }
        }
        RemoteAddress(client)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limits() -> Limits {
        let trusted_proxies = ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap()).to_vec();
        Limits { trusted_proxies, ..Limits::default() }
    }

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        limits().client(peer.parse().unwrap(), &headers).0.to_string()
    }

    #[test]
    fn a_proxy_is_believed_and_nobody_else() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1", "not a proxy");
        assert_eq!(client("10.1.2.3", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_reached() {
        assert_eq!(client("10.1.2.3", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.1.2.3", &["203.0.113.9", "198.51.100.7, 10.9.9.9"]), "198.51.100.7");
        assert_eq!(client("10.1.2.3", &["nonsense"]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &["198.51.100.7, unknown"]), "10.1.2.3");
    }

    #[test]
    fn networks_are_written_as_usual() {
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "proxy.example", "10.0.0.0/x"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        let contains = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("0.0.0.0/0", "192.0.2.1") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("fd00::/8", "fd12::1") && !contains("fd00::/8", "fe80::1"));
        assert!(contains("10.0.0.1", "10.0.0.1") && !contains("10.0.0.1", "10.0.0.2"));
        assert!(contains("10.0.0.1", "::ffff:10.0.0.1"));
    }
}
