//! The desired state of the node.

use std::collections::BTreeMap;

use super::{Notice, ServicePort, ServicePortKey, Skipped};

/// Everything the node is to balance, and what it is not and why. Equal objects give equal snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Snapshot {
    /// Every proxied Service port of every family.
    pub services: BTreeMap<ServicePortKey, ServicePort>,
    /// Services that are deliberately not proxied, by namespace and name.
    pub skipped: Vec<Skipped>,
    /// Fields that are ignored, contested or malformed, by object and field, each once.
    pub notices: Vec<Notice>,
}

impl Snapshot {
    /// How many frontends all Service ports have together.
    pub fn frontends(&self) -> usize {
        self.services.values().map(|service| service.frontends.len()).sum()
    }

    /// How many backends all Service ports have together; one shared by two ports counts twice.
    pub fn backends(&self) -> usize {
        self.services.values().map(|service| service.backends.len()).sum()
    }
}
