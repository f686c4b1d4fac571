//! Addresses and names that situations are played with.

use std::net::IpAddr;

use svclb::model::Family;

/// Addresses and names that situations are played with: two nodes, a pod on each, a client outside.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The node that is asked.
    pub here: String,
    /// The other node.
    pub there: String,
    /// IPv4.
    pub v4: Addresses,
    /// IPv6.
    pub v6: Addresses,
}

/// The addresses of one family.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// ClusterIP of the Service.
    pub cluster_ip: IpAddr,
    /// Its external IP.
    pub external_ip: IpAddr,
    /// Its load balancer address.
    pub load_balancer: IpAddr,
    /// The endpoint on the node that is asked.
    pub local_1: IpAddr,
    /// The endpoint on the other node.
    pub remote_1: IpAddr,
    /// A pod on the node that is asked; a client of class `local-pod`.
    pub pod: IpAddr,
    /// The node that is asked, as in its Node object; a client of class `host`.
    pub host: IpAddr,
    /// Another address of that node.
    pub secondary: IpAddr,
    /// Somebody who is neither; a client of class `other`.
    pub outside: IpAddr,
    /// Somebody who never calls.
    pub elsewhere: IpAddr,
}

/// The port of the Service.
pub const PORT: u16 = 80;
/// Its node port.
pub const NODE_PORT: u16 = 30_080;
/// The port of its endpoints.
pub const TARGET_PORT: u16 = 8080;

impl Layout {
    /// The addresses of `family`.
    pub fn of(&self, family: Family) -> &Addresses {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

impl Default for Layout {
    /// Documentation addresses outside, private ones inside (RFC 5737, RFC 3849).
    fn default() -> Self {
        let v4 = |net: [u8; 3], host: u8| IpAddr::from([net[0], net[1], net[2], host]);
        let v6 = |net: [u16; 3], host: u16| IpAddr::from([net[0], net[1], net[2], 0, 0, 0, 0, host]);
        Self {
            here: "here".to_owned(),
            there: "there".to_owned(),
            v4: Addresses {
                cluster_ip: v4([10, 96, 0], 10),
                external_ip: v4([203, 0, 113], 10),
                load_balancer: v4([203, 0, 113], 20),
                local_1: v4([10, 244, 1], 1),
                remote_1: v4([10, 244, 2], 1),
                pod: v4([10, 244, 1], 9),
                host: v4([192, 0, 2], 1),
                secondary: v4([192, 0, 2], 2),
                outside: v4([198, 51, 100], 1),
                elsewhere: v4([198, 51, 100], 99),
            },
            v6: Addresses {
                cluster_ip: v6([0xfd00, 0x96, 0], 10),
                external_ip: v6([0x2001, 0xdb8, 3], 10),
                load_balancer: v6([0x2001, 0xdb8, 3], 20),
                local_1: v6([0xfd00, 0x244, 1], 1),
                remote_1: v6([0xfd00, 0x244, 2], 1),
                pod: v6([0xfd00, 0x244, 1], 9),
                host: v6([0x2001, 0xdb8, 1], 1),
                secondary: v6([0x2001, 0xdb8, 1], 2),
                outside: v6([0x2001, 0xdb8, 2], 1),
                elsewhere: v6([0x2001, 0xdb8, 2], 99),
            },
        }
    }
}
