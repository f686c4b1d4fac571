//! Who asks whom.

use serde::Serialize;

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a pod of the node.
    Pod,
    /// On the node, in its own network.
    Host,
    /// Behind the node's uplink.
    Outside,
}

impl Place {
    /// All.
    pub const ALL: [Self; 3] = [Self::Pod, Self::Host, Self::Outside];
}

/// A client and what it connects to. Backends are pods of the same node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// A pod, and a backend itself.
    PodDirect,
    /// A pod, and a ClusterIP.
    PodClusterIp,
    /// A process of the node, and a backend itself.
    HostDirect,
    /// A process of the node, and a ClusterIP.
    HostClusterIp,
    /// A client outside, and a backend itself, which the node routes to.
    OutsideDirect,
    /// A client outside, and a port of the node.
    OutsideNodePort,
}

impl Path {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::PodDirect,
        Self::PodClusterIp,
        Self::HostDirect,
        Self::HostClusterIp,
        Self::OutsideDirect,
        Self::OutsideNodePort,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::PodDirect => "pod to pod",
            Self::PodClusterIp => "pod to ClusterIP",
            Self::HostDirect => "host to pod",
            Self::HostClusterIp => "host to ClusterIP",
            Self::OutsideDirect => "outside to pod",
            Self::OutsideNodePort => "outside to NodePort",
        }
    }

    /// Where its client is.
    pub fn place(self) -> Place {
        match self {
            Self::PodDirect | Self::PodClusterIp => Place::Pod,
            Self::HostDirect | Self::HostClusterIp => Place::Host,
            Self::OutsideDirect | Self::OutsideNodePort => Place::Outside,
        }
    }

    /// The path of the same client to a backend itself.
    #[must_use]
    pub fn direct(self) -> Self {
        match self.place() {
            Place::Pod => Self::PodDirect,
            Place::Host => Self::HostDirect,
            Place::Outside => Self::OutsideDirect,
        }
    }

    /// Whether it leads to a backend itself.
    pub fn is_direct(self) -> bool {
        self == self.direct()
    }
}
