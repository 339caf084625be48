//! The address to listen on, as people write it.

use std::{net::SocketAddr, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// An IP address and a port: `0.0.0.0:5000`, `[::]:5000`, `127.0.0.1:0` (any free port).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let write = "write an IP address and a port: 0.0.0.0:5000, [::]:5000 or 127.0.0.1:5000";
        text.parse().map(Self).map_err(|_| format!("\"{text}\" is no address to listen on; {write}"))
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
