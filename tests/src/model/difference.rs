//! Where tables and reference disagree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Debug},
};

use super::tables::Seen;
use crate::reference::{Expected, Protocol, claim::PortKey, expected::ServedPort};

/// One disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// About what.
    pub about: String,
    /// What the reference says.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.about, self.expected, self.found)
    }
}

impl Difference {
    /// One.
    pub fn new(about: impl Into<String>, expected: impl Debug, found: impl Debug) -> Self {
        Self { about: about.into(), expected: format!("{expected:?}"), found: format!("{found:?}") }
    }
}

/// Everything in which `seen` is not what is expected.
pub fn compare(expected: &Expected, seen: &Seen) -> Vec<Difference> {
    let mut all: Vec<_> =
        seen.faults.iter().map(|fault| Difference::new("the tables", "nothing of the kind", fault)).collect();
    maps("frontend", &expected.frontends, &seen.frontends, &mut all);
    maps("service port", &expected.ports, &agreed(expected, seen), &mut all);
    sets("ClusterIPs", &expected.cluster_ips(), &seen.cluster_ips, &mut all);
    sets("other addresses of Services", &expected.external_ips(), &seen.external_ips, &mut all);
    all
}

/// What was seen of service ports, but for what a cell says that Services have in common: all but those of UDP. On which
/// node an endpoint is, and whether it is on its way out, is there what one of them has said, maybe one that is gone.
fn agreed(expected: &Expected, seen: &Seen) -> BTreeMap<PortKey, ServedPort> {
    let mut ports = seen.ports.clone();
    for (key, port) in ports.iter_mut().filter(|(key, _)| key.protocol != Protocol::Udp) {
        for (at, serving) in &mut port.serving {
            if let Some(own) = expected.ports.get(key).and_then(|own| own.serving.get(at)) {
                serving.clone_from(own);
            }
        }
    }
    ports
}

fn maps<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
    all: &mut Vec<Difference>,
) {
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for key in keys {
        let (expected, found) = (expected.get(key), found.get(key));
        if expected != found {
            all.push(Difference::new(format!("{what} {key:?}"), expected, found));
        }
    }
}

fn sets<T: Ord + Debug>(what: &str, expected: &BTreeSet<T>, found: &BTreeSet<T>, all: &mut Vec<Difference>) {
    if expected != found {
        let lacks: Vec<_> = expected.difference(found).collect();
        let has: Vec<_> = found.difference(expected).collect();
        all.push(Difference::new(what, format!("also {lacks:?}"), format!("beyond {has:?}")));
    }
}
