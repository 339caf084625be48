//! Who is asking.

/// The address of the client, put into the extensions of every request by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemoteAddress(pub std::net::IpAddr);
