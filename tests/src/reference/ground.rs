//! From which addresses and names changes are made.
//!
//! They are few, so that Services get into each other's way. They are parameters, so that other load can have others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::Family;

/// A pod that may be an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its address of each family, in the order of [`Family::ALL`].
    pub addresses: [IpAddr; 2],
    /// Its node.
    pub node: String,
}

/// What changes are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The namespace of all objects.
    pub namespace: String,
    /// The node of the agent.
    pub node: String,
    /// Its addresses.
    pub node_addresses: Vec<IpAddr>,
    /// Whether the Node is created, moved to other zones and deleted; else nobody here touches it.
    pub has_node: bool,
    /// Endpoints.
    pub pods: Vec<Pod>,
    /// Ports that each pod serves.
    pub targets: Vec<u16>,
    /// Names of Services.
    pub services: Vec<String>,
    /// ClusterIPs of both families.
    pub cluster_ips: Vec<IpAddr>,
    /// Addresses for `externalIPs` of both families.
    pub external_ips: Vec<IpAddr>,
    /// Addresses of load balancers of both families.
    pub balancer_ips: Vec<IpAddr>,
    /// Node ports.
    pub node_ports: Vec<u16>,
    /// The first health check port: each Service has its own.
    pub health_ports: u16,
    /// Numbers of Service ports.
    pub ports: Vec<u16>,
    /// Source ranges.
    pub source_ranges: Vec<String>,
    /// Zones.
    pub zones: Vec<String>,
}

impl Ground {
    /// The `count` addresses behind `v4` and those behind `v6`.
    pub fn addresses(v4: Ipv4Addr, v6: Ipv6Addr, count: u32) -> Vec<IpAddr> {
        let v4s = (0..count).map(|i| IpAddr::V4((u32::from(v4) + i).into()));
        let v6s = (0..count).map(|i| IpAddr::V6((u128::from(v6) + u128::from(i)).into()));
        v4s.chain(v6s).collect()
    }

    /// Those of a family.
    pub fn of(addresses: &[IpAddr], family: Family) -> Vec<IpAddr> {
        addresses.iter().copied().filter(|address| Family::of(*address) == family).collect()
    }

    /// The health check port of a Service.
    pub fn health_port(&self, service: &str) -> u16 {
        let place = self.services.iter().position(|name| name == service).unwrap_or(0);
        self.health_ports + place as u16
    }
}

#[cfg(test)]
pub(super) fn small() -> Ground {
    let pods = [(1, "here"), (2, "here"), (3, "there"), (4, "there")].map(|(number, node)| Pod {
        addresses: [
            IpAddr::V4(Ipv4Addr::new(10, 1, 0, number)),
            IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, number.into())),
        ],
        node: node.into(),
    });
    Ground {
        namespace: "model".into(),
        node: "here".into(),
        node_addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        has_node: true,
        pods: pods.into(),
        targets: vec![8080, 8081],
        services: ["a", "b", "c"].map(String::from).into(),
        cluster_ips: Ground::addresses(
            Ipv4Addr::new(10, 96, 0, 1),
            Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 1),
            4,
        ),
        external_ips: Ground::addresses(
            Ipv4Addr::new(198, 51, 100, 1),
            Ipv6Addr::new(0xfd03, 0, 0, 0, 0, 0, 0, 1),
            2,
        ),
        balancer_ips: Ground::addresses(
            Ipv4Addr::new(203, 0, 113, 1),
            Ipv6Addr::new(0xfd04, 0, 0, 0, 0, 0, 0, 1),
            2,
        ),
        node_ports: vec![30000, 30001],
        health_ports: 32000,
        ports: vec![80, 81],
        source_ranges: ["192.0.2.0/24", "2001:db8::/64", "0.0.0.0/0"].map(String::from).into(),
        zones: ["a", "b"].map(String::from).into(),
    }
}
