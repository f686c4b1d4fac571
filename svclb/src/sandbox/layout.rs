//! What the embedded world looks like: names and addresses, nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The port every pod serves HTTP on.
pub(super) const POD_PORT: u16 = 8080;
/// The device of a pod or node that leads out of its namespace.
pub(super) const UPLINK: &str = "eth0";
/// The namespace that stands for the network between the machines.
pub(super) const WIRE: &str = "wire";
/// The namespace of the outside client.
pub(super) const CLIENT: &str = "client";

/// A machine on the wire: a node or the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    pub(super) name: &'static str,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

/// How a node's pods hang on it. Both ways are common, and they differ in what
/// a reply passes: between ports of one bridge it never sees the IP layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodNetwork {
    /// Host-side veths are ports of one bridge, which is the gateway.
    Bridge,
    /// Each host-side veth is a gateway of its own, with one route to its pod.
    PointToPoint,
}

/// A node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) host: Host,
    pub(super) network: PodNetwork,
    /// The third byte of the pods' IPv4 and the fourth group of their IPv6 addresses.
    subnet: u8,
}

/// A pod, which serves HTTP under its own name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pod {
    pub(super) name: &'static str,
    pub(super) node: &'static str,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

pub(super) const ROUTER: Host = host(WIRE, 1, 0x1);
pub(super) const CLIENT_HOST: Host = host(CLIENT, 100, 0x100);
pub(super) const NODES: [Node; 2] = [
    Node { host: host("node1", 11, 0x11), network: PodNetwork::Bridge, subnet: 1 },
    Node { host: host("node2", 12, 0x12), network: PodNetwork::PointToPoint, subnet: 2 },
];
pub(super) const PODS: [Pod; 4] = [
    pod("pod1", "node1", 1, 11),
    pod("pod2", "node1", 1, 12),
    pod("pod3", "node2", 2, 13),
    pod("pod4", "node2", 2, 14),
];

/// The gateways that pods on point-to-point veths see, the same for each.
pub(super) const POINT_GATEWAY4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
pub(super) const POINT_GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

const fn host(name: &'static str, last4: u8, last6: u16) -> Host {
    Host { name, v4: Ipv4Addr::new(192, 0, 2, last4), v6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last6) }
}

const fn pod(name: &'static str, node: &'static str, subnet: u8, last: u8) -> Pod {
    Pod { name, node, v4: pod_address4(subnet, last), v6: pod_address6(subnet, last) }
}

const fn pod_address4(subnet: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, subnet, last)
}

const fn pod_address6(subnet: u8, last: u8) -> Ipv6Addr {
    // Written in decimal, so that both families' addresses read alike.
    let digits = (last / 10 * 16 + last % 10) as u16;
    Ipv6Addr::new(0xfd00, 0x10, 0x244, subnet as u16, 0, 0, 0, digits)
}

impl Host {
    /// Both addresses, with the prefix of the wire.
    pub(super) fn networks(&self) -> [IpNet; 2] {
        [with_prefix(self.v4.into(), 24), with_prefix(self.v6.into(), 64)]
    }

    /// Both addresses.
    pub(super) fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// The address of the same family as another.
    pub(super) fn like(&self, other: IpAddr) -> IpAddr {
        if other.is_ipv4() { self.v4.into() } else { self.v6.into() }
    }
}

impl Node {
    /// The networks of this node's pods.
    pub(super) fn pod_cidrs(&self) -> [IpNet; 2] {
        self.gateways().map(|gateway| gateway.trunc())
    }

    /// The bridge's addresses, where the pods hang on one.
    pub(super) fn gateways(&self) -> [IpNet; 2] {
        [
            with_prefix(pod_address4(self.subnet, 1).into(), 24),
            with_prefix(pod_address6(self.subnet, 1).into(), 64),
        ]
    }

    /// The pods of this node.
    pub(super) fn pods(&self) -> impl Iterator<Item = &'static Pod> + use<> {
        let name = self.host.name;
        PODS.iter().filter(move |pod| pod.node == name)
    }
}

impl Pod {
    /// Both addresses.
    pub(super) fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// The device's name on the node.
    pub(super) fn device(&self) -> String {
        format!("veth-{}", self.name)
    }
}

/// The short names of all namespaces.
pub(super) fn namespaces() -> impl Iterator<Item = &'static str> {
    let machines = [WIRE, CLIENT].into_iter().chain(NODES.iter().map(|node| node.host.name));
    machines.chain(PODS.iter().map(|pod| pod.name))
}

/// What load balancer addresses are taken from: the client sends them to the
/// first node, as a real network's router would.
pub(super) fn load_balancer_cidrs() -> [IpNet; 2] {
    [
        with_prefix(Ipv4Addr::new(203, 0, 113, 0).into(), 24),
        with_prefix(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0).into(), 64),
    ]
}

/// Everything of an address's family.
pub(super) fn everywhere(like: IpAddr) -> IpNet {
    match like {
        IpAddr::V4(_) => Ipv4Net::default().into(),
        IpAddr::V6(_) => Ipv6Net::default().into(),
    }
}

/// Just the address.
pub(super) fn alone(address: IpAddr) -> IpNet {
    address.into()
}

fn with_prefix(address: IpAddr, prefix: u8) -> IpNet {
    IpNet::new_assert(address, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_lie_in_the_networks_of_their_nodes() {
        for node in &NODES {
            let pods: Vec<_> = node.pods().collect();
            assert_eq!(pods.len(), 2);
            for address in pods.iter().flat_map(|pod| pod.addresses()) {
                assert!(node.pod_cidrs().iter().any(|cidr| cidr.contains(&address)), "{address}");
            }
        }
    }

    #[test]
    fn addresses_read_alike_in_both_families() {
        assert_eq!(PODS[3].v4.to_string(), "10.244.2.14");
        assert_eq!(PODS[3].v6.to_string(), "fd00:10:244:2::14");
        assert_eq!(NODES[1].host.v6.to_string(), "2001:db8:1::12");
        assert_eq!(
            NODES[0].pod_cidrs().map(|cidr| cidr.to_string()),
            ["10.244.1.0/24", "fd00:10:244:1::/64"]
        );
    }
}
