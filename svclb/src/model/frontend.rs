//! Where a Service port answers.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Which promise of a Service a frontend keeps. The order is that of precedence among all that claim an address:
/// what the API server allocated, then what a load balancer's controller wrote, whose source ranges bind, then what
/// anybody may write into a Service of theirs (CVE-2020-8554).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKind {
    /// The Service's own address inside the cluster (`spec.clusterIPs`).
    ClusterIp,
    /// A port on every address of every node (`spec.ports[].nodePort`).
    NodePort,
    /// An address of a load balancer in VIP mode (`status.loadBalancer.ingress`).
    LoadBalancer,
    /// An address somebody else routes to the nodes (`spec.externalIPs`).
    ExternalIp,
}

impl FrontendKind {
    /// The name in outputs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::ExternalIp => "ExternalIP",
            Self::LoadBalancer => "LoadBalancer",
        }
    }

    /// The field of a Service that asks for a frontend of this kind.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::ClusterIp => "spec.clusterIPs",
            Self::NodePort => "spec.ports[].nodePort",
            Self::ExternalIp => "spec.externalIPs",
            Self::LoadBalancer => "status.loadBalancer.ingress",
        }
    }
}

impl fmt::Display for FrontendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An address and port that clients hit. Family and protocol are those of the Service port it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    /// Why the frontend exists.
    pub kind: FrontendKind,
    /// The address; `None` is every local address of the node (NodePort).
    pub address: Option<IpAddr>,
    /// The port number, never 0.
    pub port: u16,
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => SocketAddr::new(address, self.port).fmt(f),
            None => write!(f, "*:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontend_shows_where_it_answers() {
        let frontend = |address: Option<&str>| {
            let address = address.map(|address| address.parse().unwrap());
            Frontend { kind: FrontendKind::NodePort, address, port: 80 }.to_string()
        };
        assert_eq!(frontend(Some("10.0.0.1")), "10.0.0.1:80");
        assert_eq!(frontend(Some("fd00::1")), "[fd00::1]:80");
        assert_eq!(frontend(None), "*:80");
    }
}
