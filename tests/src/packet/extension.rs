//! IPv6 extension headers, by name.

use anyhow::anyhow;

/// An extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Hop-by-hop options: padding.
    HopByHop,
    /// Destination options: padding.
    Destination,
    /// Destination options that fill 240 bytes.
    Longest,
    /// A routing header of type 2 with so many segments left.
    Routing(u8),
}

impl Extension {
    /// Its number as a next header.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::HopByHop => 0,
            Self::Destination | Self::Longest => 60,
            Self::Routing(_) => 43,
        }
    }

    /// Its bytes, with the number of what comes behind it.
    pub(super) fn bytes(self, next: u8) -> Vec<u8> {
        match self {
            Self::HopByHop | Self::Destination => vec![next, 0, 1, 4, 0, 0, 0, 0],
            Self::Longest => [&[next, 29, 1, 236][..], &[0; 236]].concat(),
            Self::Routing(left) => vec![next, 0, 2, left, 0, 0, 0, 0],
        }
    }

    /// The headers of a list `hop-by-hop,destination`.
    pub(super) fn list(text: &str) -> anyhow::Result<Vec<Self>> {
        let named = |name| match name {
            "hop-by-hop" => Ok(Self::HopByHop),
            "destination" => Ok(Self::Destination),
            "longest" => Ok(Self::Longest),
            "routing" => Ok(Self::Routing(0)),
            "segments-left" => Ok(Self::Routing(1)),
            _ => Err(anyhow!("no extension header `{name}`")),
        };
        text.split(',').map(named).collect()
    }
}
