//! How a client is known to be a pod.

use serde::Serialize;

/// Which clients count as pods (`detectLocalMode` of kube-proxy's configuration): others are masqueraded at
/// a ClusterIP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "mode")]
pub enum DetectLocal {
    /// Those with an address in the cluster's range; without a range, all.
    #[default]
    #[serde(rename = "ClusterCIDR")]
    ClusterCidr,
    /// Those with an address in the node's range (Node `spec.podCIDRs`).
    #[serde(rename = "NodeCIDR")]
    NodeCidr,
    /// Those behind a bridge.
    BridgeInterface {
        /// The name of the bridge.
        name: String,
    },
    /// Those behind a device whose name begins so.
    InterfaceNamePrefix {
        /// How the name begins.
        prefix: String,
    },
}
