//! Names and addresses of a world.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The port that every pod serves on, by TCP and UDP.
pub const POD_PORT: u16 = 8080;

/// The device of a machine or pod that leads out of its namespace.
pub const UPLINK: &str = "eth0";

/// The namespace that stands for the network between the machines.
pub const WIRE: &str = "wire";

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Version 4.
    V4,
    /// Version 6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// What manifests call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Its loopback address.
    pub fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }
}

/// Something with an address in each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its namespace.
    pub name: &'static str,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

impl Machine {
    /// The address of a family.
    pub fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }
}

/// What default routes lead to.
pub const ROUTER: Machine = machine(WIRE, 1);
/// The outside client.
pub const CLIENT: Machine = machine("client", 100);
/// The node whose agent is tested.
pub const NODE1: Machine = machine("node1", 11);
/// The other node.
pub const NODE2: Machine = machine("node2", 12);
/// All machines that are plugged into the wire.
pub const PLUGGED: [Machine; 3] = [NODE1, NODE2, CLIENT];

/// The pods of both nodes.
pub const PODS: [Machine; 4] =
    [pod("pod1", 1, 11), pod("pod2", 1, 12), pod("pod3", 2, 13), pod("pod4", 2, 14)];
/// The first pod of the node whose agent is tested.
pub const POD1: Machine = PODS[0];
/// The second pod of that node.
pub const POD2: Machine = PODS[1];
/// The first pod of the other node.
pub const POD3: Machine = PODS[2];
/// The second pod of the other node.
pub const POD4: Machine = PODS[3];

/// A pod that is not there from the beginning.
pub const LATE: Machine = pod("pod5", 1, 15);

/// The number of a node.
pub const fn number(node: &Machine) -> u8 {
    node.v4.octets()[3] - 10
}

/// The node that a pod runs on.
pub fn node_of(pod: &Machine) -> Machine {
    if pod.v4.octets()[2] == number(&NODE1) { NODE1 } else { NODE2 }
}

/// The gateways of the pods of a node whose pods share a bridge.
pub const fn gateway(node: &Machine) -> Machine {
    pod("gateway", number(node), 1)
}

/// The gateways of pods on a veth each, the same for all.
pub const POINT: Machine = Machine {
    name: "gateway",
    v4: Ipv4Addr::new(169, 254, 1, 1),
    v6: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
};

const fn machine(name: &'static str, last: u8) -> Machine {
    Machine {
        name,
        v4: Ipv4Addr::new(192, 0, 2, last),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, digits(last)),
    }
}

const fn pod(name: &'static str, node: u8, last: u8) -> Machine {
    Machine {
        name,
        v4: Ipv4Addr::new(10, 244, node, last),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, node as u16, 0, 0, 0, digits(last)),
    }
}

/// The group that reads in hexadecimal as the number does in decimal.
const fn digits(number: u8) -> u16 {
    let number = number as u16;
    number / 100 * 256 + number / 10 % 10 * 16 + number % 10
}

/// How a client names a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frontend {
    /// By its cluster address.
    ClusterIp,
    /// By its port on the tested node's address.
    NodePort,
    /// By its port on the client's own loopback address.
    NodePortOnLoopback,
    /// By an address of `spec.externalIPs`.
    ExternalIp,
    /// By an address of its load balancer.
    LoadBalancer,
}

impl Frontend {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::ClusterIp, Self::NodePort, Self::NodePortOnLoopback, Self::ExternalIp, Self::LoadBalancer];

    /// The address of the Service with that number.
    pub fn of(self, service: u8, family: Family) -> SocketAddr {
        let number = digits(service);
        let (v4, v6) = match self {
            Self::ClusterIp => ([10, 96, 0], [0xfd00, 0x10, 0x96]),
            Self::ExternalIp => ([198, 51, 100], [0x2001, 0xdb8, 3]),
            Self::LoadBalancer => ([203, 0, 113], [0x2001, 0xdb8, 2]),
            Self::NodePort => return (NODE1.address(family), node_port(service)).into(),
            Self::NodePortOnLoopback => return (family.loopback(), node_port(service)).into(),
        };
        let address = match family {
            Family::V4 => Ipv4Addr::new(v4[0], v4[1], v4[2], service).into(),
            Family::V6 => IpAddr::from([v6[0], v6[1], v6[2], 0, 0, 0, 0, number]),
        };
        (address, SERVICE_PORT).into()
    }
}

/// The port of every Service.
pub const SERVICE_PORT: u16 = 80;

/// The node port of the Service with that number.
pub fn node_port(service: u8) -> u16 {
    30_000 + u16::from(service)
}
