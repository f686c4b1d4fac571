//! Who lives in the simulated world, in either family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use svclb_common::{
    balance::{Edge, LOOPBACK_IFINDEX, Place},
    encap::Carry,
    family::{Addr4, Addr6, V4, V6},
    icmp::Icmp,
    key::Hook,
    refuse::TooBig,
};

/// The node itself.
pub(crate) const NODE: u16 = 1;
/// A pod of the node, the client of most tests.
pub(crate) const POD: u16 = 20;
/// Another pod of the node.
pub(crate) const PEER: u16 = 21;
/// A pod of another node.
pub(crate) const FAR: u16 = 40;
/// Another one.
pub(crate) const FAR2: u16 = 41;
/// Somebody outside the cluster.
pub(crate) const OUTSIDE: u16 = 90;
/// A virtual address.
pub(crate) const VIP: u16 = 100;
/// Another one.
pub(crate) const VIP2: u16 = 101;

/// Number of the uplink.
pub(crate) const UPLINK: u32 = 2;

/// From the client pod.
pub(crate) const POD_IN: Place = Place { edge: Edge::Pod, hook: Hook::Ingress, ifindex: 10 };
/// To the client pod.
pub(crate) const POD_OUT: Place = Place { edge: Edge::Pod, hook: Hook::Egress, ifindex: 10 };
/// From the outside.
pub(crate) const UPLINK_IN: Place = Place { edge: Edge::Uplink, hook: Hook::Ingress, ifindex: UPLINK };
/// To the outside.
pub(crate) const UPLINK_OUT: Place = Place { edge: Edge::Uplink, hook: Hook::Egress, ifindex: UPLINK };
/// Out by the loopback device.
pub(crate) const LO_OUT: Place = Place { edge: Edge::Uplink, hook: Hook::Egress, ifindex: LOOPBACK_IFINDEX };

/// A family with addresses that tests can write down.
pub(crate) trait Net: Icmp + Carry + TooBig {
    /// The loopback address.
    const LOOPBACK: IpAddr;
    /// Bytes of the header around a packet.
    const OUTER: u32 = size_of::<Self::Header>() as u32;
    /// Address number `n`.
    fn host(n: u16) -> IpAddr;
    /// An address as packets hold it.
    fn addr(ip: IpAddr) -> Self::Addr;
    /// An address as people hold it.
    fn ip(addr: Self::Addr) -> IpAddr;
    /// Ones in the first `len` bits.
    fn mask(len: u32) -> Self::Addr;
}

impl Net for V4 {
    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn host(n: u16) -> IpAddr {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(10, 200, high, low).into()
    }

    fn addr(ip: IpAddr) -> Addr4 {
        let IpAddr::V4(ip) = ip else { panic!("{ip} is not of this family") };
        Addr4(u32::from_ne_bytes(ip.octets()))
    }

    fn ip(addr: Addr4) -> IpAddr {
        Ipv4Addr::from(addr.0.to_ne_bytes()).into()
    }

    fn mask(len: u32) -> Addr4 {
        Addr4(u32::MAX.checked_shl(32 - len).unwrap_or(0).to_be())
    }
}

impl Net for V6 {
    const LOOPBACK: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn host(n: u16) -> IpAddr {
        Ipv6Addr::new(0xfd00, 0xabcd, 0, 0, 0xffff, 0, 0x1234, n).into()
    }

    fn addr(ip: IpAddr) -> Addr6 {
        let IpAddr::V6(ip) = ip else { panic!("{ip} is not of this family") };
        Addr6(bytemuck::cast(ip.octets()))
    }

    fn ip(addr: Addr6) -> IpAddr {
        IpAddr::from(bytemuck::cast::<_, [u8; 16]>(addr.0))
    }

    fn mask(len: u32) -> Addr6 {
        let bits = u128::MAX.checked_shl(128 - len).unwrap_or(0);
        Addr6(bytemuck::cast(bits.to_be_bytes()))
    }
}

/// Port `port` of address number `n`.
pub(crate) fn at<F: Net>(n: u16, port: u16) -> SocketAddr {
    SocketAddr::new(F::host(n), port)
}
