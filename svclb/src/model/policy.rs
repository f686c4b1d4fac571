//! How a Service port treats its clients.

use std::num::NonZeroU32;

use super::{Algorithm, Rate, SourceRanges};

/// Which endpoints traffic may go to (`internalTrafficPolicy`, `externalTrafficPolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPolicy {
    /// Those of all nodes.
    #[default]
    Cluster,
    /// Those of this node.
    Local,
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
    /// New flows that it takes in a second.
    pub rate: Rate,
}
