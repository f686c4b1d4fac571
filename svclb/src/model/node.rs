//! What counts of this node's own Node object.

use std::net::IpAddr;

use ipnet::IpNet;

/// What counts of this node's own Node object. Without one, all is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Whether there is one.
    pub exists: bool,
    /// `metadata.uid`, for Events about it.
    pub uid: String,
    /// `status.addresses` of type `InternalIP` and `ExternalIP`, in this order, unparsable ones left out.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// The label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// Whether new connections from outside may be sent here: it exists, has no deletion timestamp and no taint
    /// with the key `ToBeDeletedByClusterAutoscaler` (KEP-3836).
    pub is_eligible: bool,
}
