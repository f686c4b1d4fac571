//! Kinds of frontends.

/// What kind of frontend a packet came to. A policy for internal traffic is for the first
/// kind, one for external traffic for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum FrontendKind {
    /// `spec.clusterIPs`.
    ClusterIp = 1,
    /// `spec.ports[].nodePort` on every local address.
    NodePort = 2,
    /// `spec.externalIPs`.
    ExternalIp = 3,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancer = 4,
}

impl FrontendKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ClusterIp, Self::NodePort, Self::ExternalIp, Self::LoadBalancer];

    /// What reports and metrics call it, which is what Kubernetes calls the type or the field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::ExternalIp => "ExternalIP",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}
