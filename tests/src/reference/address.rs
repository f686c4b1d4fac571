//! Families and ranges of addresses.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// Version 4.
    IPv4,
    /// Version 6.
    IPv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::IPv4, Self::IPv6];

    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::IPv4 } else { Self::IPv6 }
    }

    /// What the API calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
        }
    }

    /// Bits of an address.
    pub fn bits(self) -> u8 {
        match self {
            Self::IPv4 => 32,
            Self::IPv6 => 128,
        }
    }
}

/// All addresses with the first bits of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first of them.
    pub first: IpAddr,
    /// How many bits they have in common.
    pub length: u8,
}

impl Range {
    /// The range that `address` is in.
    pub fn of(address: IpAddr, length: u8) -> Self {
        let first = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4((u32::from(address) & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6((u128::from(address) & mask).into())
            }
        };
        Self { first, length }
    }

    /// One address alone.
    pub fn only(address: IpAddr) -> Self {
        Self { first: address, length: Family::of(address).bits() }
    }

    /// `address/length`, with spaces around it or not; `None` for what is no range.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.trim().split_once('/')?;
        let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
        (length <= Family::of(address).bits()).then(|| Self::of(address, length))
    }

    /// Its family.
    pub fn family(self) -> Family {
        Family::of(self.first)
    }

    /// Whether an address is one of them.
    pub fn holds(self, address: IpAddr) -> bool {
        Family::of(address) == self.family() && Self::of(address, self.length) == self
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_begins_like_them() {
        let table = [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.9.9.9/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            (" 10.0.0.1/32 ", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("0.0.0.0/0", "255.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/16", "fd00:1::1", true),
            ("fd00::/16", "fd01::1", false),
            ("::/0", "fd01::1", true),
        ];
        for (range, address, is_in) in table {
            let found = Range::parse(range).unwrap().holds(address.parse().unwrap());
            assert_eq!(found, is_in, "{range} {address}");
        }
        for text in ["", "10.0.0.1", "10.0.0.1/33", "x/8", "::/129"] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }
}
