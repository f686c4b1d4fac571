//! How a Service port treats its clients.

use std::{collections::BTreeSet, num::NonZeroU32};

use ipnet::IpNet;

/// Which endpoints traffic may go to (`internalTrafficPolicy`, `externalTrafficPolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPolicy {
    /// Those of all nodes.
    #[default]
    Cluster,
    /// Those of this node.
    Local,
}

/// Who may use the load balancer addresses (`spec.loadBalancerSourceRanges` of one family).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceRanges {
    /// The ranges, and each VIP of the Service as a range of its own if `admits_host`.
    pub ranges: BTreeSet<IpNet>,
    /// Whether some range contains an address of this node (its Node object's, of this family).
    pub admits_host: bool,
}

/// How backends are chosen (`svclb.io/algorithm`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Each new flow by a random number.
    #[default]
    Random,
}

/// How a Service port treats its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Policy {
    /// For its ClusterIPs.
    pub internal: TrafficPolicy,
    /// For all its other frontends.
    pub external: TrafficPolicy,
    /// Seconds for which a client comes back to its backend; `None` is no affinity.
    pub affinity: Option<NonZeroU32>,
    /// Who may use its load balancer addresses; `None` is everybody.
    pub sources: Option<SourceRanges>,
    /// Whether some endpoint, wherever it is, is ready, or serves while it terminates: where the list at
    /// hand is empty nevertheless, packets are dropped in silence and not refused.
    pub has_endpoints: bool,
    /// How backends are chosen.
    pub algorithm: Algorithm,
}
