//! What becomes of one client's first packet.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use super::{
    claim::{Frontend, Kind},
    expected::Expected,
};

/// Where a client is, as far as policies care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// In a pod of the node.
    LocalPod,
    /// On the node itself.
    Host,
    /// Anywhere else.
    Other,
}

/// What may become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One of these gets it.
    Backends(BTreeSet<SocketAddr>),
    /// The client is told that there is nobody.
    Refused,
    /// Nothing.
    Dropped,
}

impl Expected {
    /// What becomes of a packet to a frontend; `None` if it is nobody's.
    pub fn verdict(&self, frontend: &Frontend, class: Class, client: IpAddr) -> Option<Verdict> {
        let owner = self.frontends.get(frontend)?;
        let port = self.ports.get(&owner.port)?;
        if owner.kind == Kind::LoadBalancer
            && let Some(sources) = &port.sources
            && !sources.ranges.iter().any(|range| range.holds(client))
        {
            return Some(Verdict::Dropped);
        }
        let is_local = match (owner.kind, class) {
            (Kind::ClusterIP, _) => port.internal_local,
            (_, Class::Other) => port.external_local,
            // As if it had gone out to the load balancer and come back.
            (_, Class::LocalPod | Class::Host) => false,
        };
        let list = if is_local { &port.local } else { &port.cluster };
        Some(if !list.is_empty() {
            Verdict::Backends(list.clone())
        } else if port.has_any {
            Verdict::Dropped
        } else {
            Verdict::Refused
        })
    }
}
