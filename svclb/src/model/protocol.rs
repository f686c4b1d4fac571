//! Transport protocols a Service port can have.

use std::fmt;

/// A Service port's protocol (Service `spec.ports[].protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
    /// Stream Control Transmission Protocol.
    Sctp,
}

impl Protocol {
    /// The API's name, in capitals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// The number in an IP header (IANA "Protocol Numbers").
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// Reads the API's name. A field that is not set means TCP; names are case-sensitive.
    pub fn parse(field: Option<&str>) -> Option<Self> {
        match field {
            None | Some("TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_those_of_the_api_and_of_the_header() {
        let table = [(Protocol::Tcp, "TCP", 6), (Protocol::Udp, "UDP", 17), (Protocol::Sctp, "SCTP", 132)];
        for (protocol, name, number) in table {
            assert_eq!((protocol.as_str(), protocol.number()), (name, number));
            assert_eq!(Protocol::parse(Some(name)), Some(protocol));
        }
        assert_eq!(Protocol::parse(None), Some(Protocol::Tcp));
        assert_eq!(Protocol::parse(Some("tcp")), None);
        assert_eq!(Protocol::parse(Some("")), None);
    }
}
