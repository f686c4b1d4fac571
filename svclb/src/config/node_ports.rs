//! On which of the node's addresses node ports answer.

use std::net::IpAddr;

use ipnet::IpNet;

use super::NodePortAddresses;
use crate::model::{Family, NodeState};

impl NodePortAddresses {
    /// Whether node ports answer on `address`, which is local to the node. Addresses come and go, so this is asked of
    /// each as it appears.
    pub fn accepts(&self, address: IpAddr, node: &NodeState) -> bool {
        match self {
            Self::All => true,
            Self::Primary => node.primary_addresses().any(|known| known == address),
            Self::Cidrs(ranges) => {
                let is_of_family = |range: &&IpNet| Family::of(range.addr()) == Family::of(address);
                let mut of_family = ranges.iter().filter(is_of_family).peekable();
                // A family that no range is of is open.
                of_family.peek().is_none() || of_family.any(|range| range.contains(&address))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let entries: Vec<_> = entries.iter().map(ToString::to_string).collect();
            let setting = NodePortAddresses::new(&entries).unwrap();
            let all = ["192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1", "2001:db8::2"];
            let accepted: Vec<_> =
                all.into_iter().filter(|address| setting.accepts(address.parse().unwrap(), &node)).collect();
            assert_eq!(accepted.join(" "), expected, "{entries:?}");
        }
        let primary = NodePortAddresses::Primary;
        assert!(!primary.accepts("192.0.2.1".parse().unwrap(), &NodeState::default()));
    }
}
