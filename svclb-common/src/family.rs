//! IPv4 and IPv6 as one generic: logic is written once, tables exist twice.

mod address;
mod header;

pub use self::{
    address::{Addr4, Addr6, Address},
    header::{IPIP, IPV6, IpHeader, Upper},
};
use crate::{
    config,
    wire::{Ipv4, Ipv6},
};

/// An address family.
pub trait Family: 'static {
    /// Its address.
    type Addr: Address;
    /// Its header.
    type Header: IpHeader<Addr = Self::Addr>;
    /// Its `EtherType`, network byte order.
    const ETHERTYPE: u16;
    /// `AF_INET` or `AF_INET6`.
    const AF: u8;
    /// IANA protocol number of the family's ICMP.
    const ICMP: u8;
    /// ICMP type and code of "port unreachable" (RFC 792; RFC 4443 section 3.1).
    const PORT_UNREACHABLE: (u8, u8);
    /// ICMP type and code of "hop limit exceeded in transit" (RFC 792; RFC 4443 section 3.3).
    const TIME_EXCEEDED: (u8, u8);
    /// Whether ICMP sums a pseudo-header (RFC 4443 section 2.3).
    const ICMP_PSEUDO_HEADER: bool;
    /// Whether fragments of one identification belong together only if their protocol is the same (RFC 791; not in
    /// RFC 8200 section 4.5).
    const PROTOCOL_IDENTIFIES: bool;
    /// How long a datagram's fragments belong together, in nanoseconds: Linux's times for reassembly (`ipfrag_time`;
    /// RFC 8200 section 4.5 for IPv6).
    const REASSEMBLY: u64;
    /// The setting that makes node ports answer on the loopback addresses.
    const NODE_PORT_LOOPBACK: u32;
}

/// IPv4.
#[derive(Clone, Copy, Debug)]
pub enum V4 {}

/// IPv6.
#[derive(Clone, Copy, Debug)]
pub enum V6 {}

impl Family for V4 {
    type Addr = Addr4;
    type Header = Ipv4;
    const ETHERTYPE: u16 = 0x0800_u16.to_be();
    const AF: u8 = 2;
    const ICMP: u8 = 1;
    const PORT_UNREACHABLE: (u8, u8) = (3, 3);
    const TIME_EXCEEDED: (u8, u8) = (11, 0);
    const ICMP_PSEUDO_HEADER: bool = false;
    const PROTOCOL_IDENTIFIES: bool = true;
    const REASSEMBLY: u64 = 30_000_000_000;
    const NODE_PORT_LOOPBACK: u32 = config::NODE_PORT_LOOPBACK_V4;
}

impl Family for V6 {
    type Addr = Addr6;
    type Header = Ipv6;
    const ETHERTYPE: u16 = 0x86dd_u16.to_be();
    const AF: u8 = 10;
    const ICMP: u8 = 58;
    const PORT_UNREACHABLE: (u8, u8) = (1, 4);
    const TIME_EXCEEDED: (u8, u8) = (3, 0);
    const ICMP_PSEUDO_HEADER: bool = true;
    const PROTOCOL_IDENTIFIES: bool = false;
    const REASSEMBLY: u64 = 60_000_000_000;
    const NODE_PORT_LOOPBACK: u32 = config::NODE_PORT_LOOPBACK_V6;
}
