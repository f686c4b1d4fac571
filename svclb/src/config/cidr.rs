//! Ranges of addresses.

use std::str::FromStr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// `--cluster-cidr`: the ranges of the pods of all nodes, at most one per family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterCidrs(pub Vec<IpNet>);

impl FromStr for ClusterCidrs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut ranges: Vec<IpNet> = Vec::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let range = cidr(part)?;
            let is_v4 = |range: &IpNet| range.addr().is_ipv4();
            if ranges.iter().any(|other| is_v4(other) == is_v4(&range)) {
                return Err(format!("{text:?} has two ranges of one family; give at most one of each"));
            }
            ranges.push(range);
        }
        Ok(Self(ranges))
    }
}

/// `--nodeport-addresses`: which addresses of the node answer at node ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// All.
    #[default]
    All,
    /// Those that the Node object has when the agent starts.
    Primary,
    /// Those in these ranges; all of a family without one.
    Cidrs(Vec<IpNet>),
}

impl NodePortAddresses {
    /// The word for [`Primary`](Self::Primary).
    const PRIMARY: &str = "primary";

    /// From a list of ranges, or of `primary` alone.
    pub fn new(entries: &[String]) -> Result<Self, String> {
        match entries {
            [] => Ok(Self::All),
            [word] if word == Self::PRIMARY => Ok(Self::Primary),
            _ if entries.iter().any(|entry| entry == Self::PRIMARY) => {
                Err("\"primary\" stands alone; leave the ranges out".into())
            }
            _ => entries.iter().map(|entry| cidr(entry)).collect::<Result<_, _>>().map(Self::Cidrs),
        }
    }
}

impl Serialize for NodePortAddresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => [""; 0].serialize(serializer),
            Self::Primary => [Self::PRIMARY].serialize(serializer),
            Self::Cidrs(ranges) => ranges.serialize(serializer),
        }
    }
}

/// A range; bits behind the prefix are of no account.
fn cidr(text: &str) -> Result<IpNet, String> {
    let range: Result<IpNet, _> = text.trim().parse();
    range
        .map(|range| range.trunc())
        .map_err(|_no_range| format!("{text:?} is no range such as 10.244.0.0/16"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_per_family() {
        let read = |text: &str| -> Result<Vec<String>, String> {
            Ok(text.parse::<ClusterCidrs>()?.0.iter().map(ToString::to_string).collect())
        };
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("10.244.1.2/16"), Ok(vec!["10.244.0.0/16".into()]));
        assert_eq!(read("fd00::/48, 10.0.0.0/8"), Ok(vec!["fd00::/48".into(), "10.0.0.0/8".into()]));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/8,11.0.0.0/8", "10.0.0.0/8,", "x"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn node_port_addresses_are_ranges_or_one_word() {
        let read = |entries: &[&str]| {
            let entries: Vec<_> = entries.iter().map(ToString::to_string).collect();
            NodePortAddresses::new(&entries).map(|addresses| serde_json::to_string(&addresses).unwrap())
        };
        assert_eq!(read(&[]), Ok("[]".into()));
        assert_eq!(read(&["primary"]), Ok("[\"primary\"]".into()));
        assert_eq!(read(&["10.0.0.0/8", "::/0"]), Ok("[\"10.0.0.0/8\",\"::/0\"]".into()));
        for wrong in [&["primary", "10.0.0.0/8"][..], &["x"], &["10.0.0.1"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
