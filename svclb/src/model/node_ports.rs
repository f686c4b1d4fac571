//! On which of the node's addresses node ports answer.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Family, NodeState,
    cidr::{family_of, parse_range},
};

/// On which of the node's addresses node ports answer (`--nodeport-addresses`). Addresses come and go, so this is
/// asked of each as it appears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// The first address of each family of the Node object.
    Primary,
    /// Addresses in these ranges; a family that no range is of is open.
    Within(Vec<IpNet>),
}

impl Default for NodePortAddresses {
    fn default() -> Self {
        Self::Within(Vec::new())
    }
}

impl NodePortAddresses {
    /// Reads the entries of the setting: ranges, or `primary` alone. The error names the entry.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let entries: Vec<_> = entries.into_iter().map(str::trim).collect();
        if entries == ["primary"] {
            return Ok(Self::Primary);
        }
        let range = |entry: &str| match parse_range(entry) {
            Some(range) => Ok(range),
            None if entry == "primary" => Err("primary must be the only entry".to_owned()),
            None => Err(format!("{entry:?} is not a range of addresses")),
        };
        entries.into_iter().map(range).collect::<Result<_, _>>().map(Self::Within)
    }

    /// Whether node ports answer on `address`, which is local to the node.
    pub fn accepts(&self, address: IpAddr, node: &NodeState) -> bool {
        let family = Family::of(address);
        match self {
            Self::Primary => node.primary_addresses().any(|known| known == address),
            Self::Within(ranges) => {
                let mut of_family = ranges.iter().filter(|range| family_of(**range) == family).peekable();
                of_family.peek().is_none() || of_family.any(|range| range.contains(&address))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_ranges_or_primary() {
        let table: [(&[&str], Option<usize>); 7] = [
            (&[], Some(0)),
            (&["192.0.2.0/24", " fd00::/8 "], Some(2)),
            (&["primary"], None),
            (&["primary", "192.0.2.0/24"], Some(99)),
            (&["192.0.2.1"], Some(99)),
            (&[""], Some(99)),
            (&["localhost"], Some(99)),
        ];
        for (entries, expected) in table {
            let ranges = match NodePortAddresses::parse(entries.iter().copied()) {
                Ok(NodePortAddresses::Primary) => None,
                Ok(NodePortAddresses::Within(ranges)) => Some(ranges.len()),
                Err(_) => Some(99),
            };
            assert_eq!(ranges, expected, "{entries:?}");
        }
    }

    #[test]
    fn a_family_without_ranges_is_open() {
        let node = NodeState {
            addresses: ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|it| it.parse().unwrap()).into(),
            ..NodeState::default()
        };
        let table: [(&[&str], &str); 5] = [
            (&[], "192.0.2.1 192.0.2.2 198.51.100.1 2001:db8::1 2001:db8::2"),
            (&["primary"], "192.0.2.1 2001:db8::1"),
            (&["192.0.2.2/32"], "192.0.2.2 2001:db8::1 2001:db8::2"),
            (&["::/0"], "192.0.2.1 192.0.2.2 198.51.100.1 2001:db8::1 2001:db8::2"),
            (&["10.0.0.0/8", "2001:db8::2/128"], "2001:db8::2"),
        ];
        for (entries, expected) in table {
            let setting = NodePortAddresses::parse(entries.iter().copied()).unwrap();
            let all = ["192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1", "2001:db8::2"];
            let accepted: Vec<_> =
                all.into_iter().filter(|address| setting.accepts(address.parse().unwrap(), &node)).collect();
            assert_eq!(accepted.join(" "), expected, "{entries:?}");
        }
        let primary = NodePortAddresses::Primary;
        assert!(!primary.accepts("192.0.2.1".parse().unwrap(), &NodeState::default()));
    }
}
