//! The address a request came from, and whether somebody stands in between who is believed.

use std::net::{IpAddr, Ipv6Addr};

use http::{Extensions, HeaderMap};

/// The address of the client, as the server saw it; put into every request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemoteAddress(pub IpAddr);

impl RemoteAddress {
    /// The address by which a client is told from others: IPv4 whole, also when written as IPv6; of IPv6 the
    /// /64 network, because one host may take any address in it.
    pub fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let s = address.segments();
                IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0))
            }
        }
    }
}

/// The peer of the connection is a proxy that is believed in what it says of its clients; put into the extensions of
/// its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedPeer;

impl TrustedPeer {
    /// Whether such a proxy, and nobody else, says that the client came to it by HTTPS.
    pub fn says_https(extensions: &Extensions, headers: &HeaderMap) -> bool {
        // What stands before the last word the client may have written.
        let protocol = headers.get_all("x-forwarded-proto").iter().next_back();
        let protocol = protocol.and_then(|protocol| protocol.to_str().ok()?.rsplit(',').next());
        protocol.is_some_and(|protocol| protocol.trim().eq_ignore_ascii_case("https"))
            && extensions.get::<Self>().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_one_network() {
        let network = |text: &str| RemoteAddress(text.parse().expect("an address")).network();
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
        assert_ne!(network("10.0.0.2"), network("10.0.0.1"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8::1"));
    }
}
