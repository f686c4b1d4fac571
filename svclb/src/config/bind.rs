//! Where a server listens.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// Where a server is asked to listen: `0.0.0.0:10256`, `[::]:10256`, `10.0.0.1`, `:10256`; nothing, `0` and port 0
/// are nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Nowhere.
    Off,
    /// At an address, at the port that the server has by default.
    Address(IpAddr),
    /// At a port of all addresses, or at one of one address.
    Socket(SocketAddr),
}

impl Bind {
    /// The place, for a server with this port by default.
    pub fn or_port(self, port: u16) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::Address(address) => Some(SocketAddr::new(address, port)),
            Self::Socket(socket) => Some(socket),
        }
    }
}

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no address with a port, such as 0.0.0.0:10256, [::]:10256 or :10256");
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if matches!(text, "" | "0") {
            return Ok(Self::Off);
        }
        if let Ok(address) = bare.parse() {
            return Ok(Self::Address(address));
        }
        let socket: SocketAddr = match text.strip_prefix(':') {
            // All of IPv6 includes IPv4.
            Some(port) => {
                SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port.parse().map_err(|_no_port| wrong())?)
            }
            None => text.parse().map_err(|_no_address| wrong())?,
        };
        Ok(if socket.port() == 0 { Self::Off } else { Self::Socket(socket) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let cases = [
            ("0.0.0.0:10256", Some("0.0.0.0:10256")),
            ("[::]:10256", Some("[::]:10256")),
            (":8080", Some("[::]:8080")),
            ("127.0.0.1", Some("127.0.0.1:1")),
            ("::1", Some("[::1]:1")),
            ("[::1]", Some("[::1]:1")),
            ("", None),
            ("0", None),
            (":0", None),
            ("0.0.0.0:0", None),
        ];
        for (text, expected) in cases {
            let got = text.parse::<Bind>().unwrap().or_port(1);
            assert_eq!(got, expected.map(|socket| socket.parse().unwrap()), "{text:?}");
        }
        for wrong in ["x", "localhost:80", "80", "1.2.3.4:", ":", ":x", "1.2.3.4:70000", "::1:80x", " :80"] {
            assert!(wrong.parse::<Bind>().is_err(), "{wrong:?}");
        }
    }
}
