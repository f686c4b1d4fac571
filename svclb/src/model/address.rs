//! Address families, and addresses as the Kubernetes API spells them.

use std::{fmt, net::IpAddr};

/// An IP address family. A dual-stack Service is one record per family (Service `spec.ipFamilies`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, in the order of this type.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of `address`.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The name that `spec.ipFamilies` and an EndpointSlice's `addressType` use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads an address the way the API server has always accepted it: leading zeros in an IPv4 octet are
/// decimal, and an IPv4 address in IPv6 clothes (`::ffff:10.0.0.1`) is an IPv4 address.
///
/// `None` for anything else, zones (`fe80::1%eth0`) and surrounding spaces included.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let parsed: Result<IpAddr, _> =
        if text.contains(':') { text.parse() } else { without_leading_zeros(text).parse() };
    parsed.ok().map(|address| address.to_canonical())
}

fn without_leading_zeros(text: &str) -> String {
    let octet = |octet: &'_ str| match octet.trim_start_matches('0') {
        "" if !octet.is_empty() => "0".to_owned(),
        significant => significant.to_owned(),
    };
    text.split('.').map(octet).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_api_server_reads_them() {
        let table = [
            ("10.0.0.1", Some("10.0.0.1")),
            ("010.000.0.09", Some("10.0.0.9")),
            ("0.0.0.0", Some("0.0.0.0")),
            ("fd00::1", Some("fd00::1")),
            ("FD00:0:0::1", Some("fd00::1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("", None),
            ("None", None),
            ("10.0.0", None),
            ("10..0.1", None),
            ("10.0.0.256", None),
            ("10.0.0.1/32", None),
            (" 10.0.0.1", None),
            ("fe80::1%eth0", None),
            ("lb.example.com", None),
        ];
        for (text, expected) in table {
            let expected: Option<IpAddr> = expected.map(|address| address.parse().unwrap());
            assert_eq!(parse_address(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_family_is_that_of_the_address() {
        assert_eq!(Family::of("10.0.0.1".parse().unwrap()), Family::V4);
        assert_eq!(Family::of("fd00::1".parse().unwrap()), Family::V6);
        assert_eq!(Family::ALL.map(Family::as_str), ["IPv4", "IPv6"]);
    }
}
