//! A range of ports.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Serialize, Serializer};
use svclb_common::config::SNAT_PORTS;

/// `--snat-ports`: the source ports that translated flows get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub min: u16,
    /// The highest; not below the lowest.
    pub max: u16,
}

impl PortRange {
    /// Whether both have a port in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }

    /// Whether the port is one of the range.
    pub fn contains(self, port: u16) -> bool {
        (self.min..=self.max).contains(&port)
    }

    /// Its ports.
    pub fn ports(self) -> RangeInclusive<u16> {
        self.min..=self.max
    }
}

impl Default for PortRange {
    fn default() -> Self {
        let (min, max) = SNAT_PORTS;
        Self { min, max }
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no range of ports such as 1024-29999");
        let (min, max) = text.split_once('-').ok_or_else(wrong)?;
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
        let (min, max) = (port(min)?, port(max)?);
        if min > max {
            return Err(format!("{text:?} ends before it begins"));
        }
        Ok(Self { min, max })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_they_are_written() {
        for text in ["1024-29999", "1-65535", "80-80"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
        assert_eq!("2000 - 3000".parse::<PortRange>().unwrap(), PortRange { min: 2000, max: 3000 });
        for wrong in ["", "80", "0-5", "9-8", "1-65536", "a-b", "1-2-3", "-5"] {
            assert!(wrong.parse::<PortRange>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ranges_overlap_where_a_port_is_in_both() {
        let range = |min, max| PortRange { min, max };
        assert!(range(1, 5).overlaps(range(5, 9)) && range(5, 9).overlaps(range(1, 5)));
        assert!(range(1, 9).overlaps(range(4, 5)) && range(4, 5).overlaps(range(1, 9)));
        assert!(!range(1, 4).overlaps(range(5, 9)) && !range(5, 9).overlaps(range(1, 4)));
        assert!(range(1, 5).contains(5) && !range(1, 5).contains(6));
    }
}
