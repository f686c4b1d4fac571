//! What the datapath reads and writes of an IP header.

use super::{Addr4, Addr6, Address, Family as _, V4, V6};
use crate::{
    checksum::Sum,
    outline::{self, Chain},
    wire::{Ipv4, Ipv6, Transport, Wire},
};

/// What follows an IP header, as far as the datapath carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upper {
    /// A transport header right behind the fixed IP header.
    Transport(Transport),
    /// A fragment of a larger packet.
    Fragment,
    /// IPv4 options before a transport header, or IPv6 extension headers before whatever:
    /// an [`Outline`](crate::outline::Outline) tells.
    Extended,
    /// The family's ICMP, that many bytes after the end of the fixed IP header.
    Icmp(usize),
    /// A packet of IPv4 or IPv6 in this one.
    Tunnel,
    /// Anything else.
    Other,
}

/// The IP header of a family.
pub trait IpHeader: Wire + Chain {
    /// The family's address.
    type Addr: Address;
    /// What follows the header.
    fn upper(&self) -> Upper;
    /// Source address.
    fn src(&self) -> Self::Addr;
    /// Destination address.
    fn dst(&self) -> Self::Addr;
    /// Bytes from the start of the IP header to the end of the packet.
    fn total_len(&self) -> u16;
    /// Whether the packet goes on for `bytes` bytes after the fixed IP header. A length of
    /// zero states none: the device merged packets to more than the field can say.
    fn holds(&self, bytes: usize) -> bool;
    /// Hops left.
    fn hops(&self) -> u8;
    /// Writes both addresses; `delta` is the folded sum of their change.
    fn set_addresses(&mut self, src: Self::Addr, dst: Self::Addr, delta: u16);
    /// Makes the header that of an answer to itself: addresses swapped, `payload`
    /// bytes after the header and its options, a fresh hop limit.
    fn answer(&mut self, payload: u16);
    /// A header for `payload` bytes of protocol `proto`, in answer to `to`.
    fn answering(to: &Self, proto: u8, payload: u16) -> Self;
    /// Adds the header's own words, without options, to a sum.
    fn sum(&self, sum: Sum) -> Sum;
    /// Takes one hop off; the caller has seen that more than one is left.
    fn decrement_hops(&mut self);
}

/// Hop limit of packets that the datapath makes: Linux's default.
const HOPS: u8 = 64;

/// IANA protocol number of IPv4 in IP (RFC 2003).
pub const IPIP: u8 = 4;

/// IANA protocol number of IPv6 in IP (RFC 2473).
pub const IPV6: u8 = 41;

/// IPv4 flag "don't fragment".
const DONT_FRAGMENT: u16 = 0x4000_u16.to_be();

impl IpHeader for Ipv4 {
    type Addr = Addr4;

    #[inline(always)]
    fn upper(&self) -> Upper {
        /// Fragment offset and "more fragments".
        const FRAGMENT: u16 = 0x3fff_u16.to_be();
        if self.version_ihl >> 4 != 4 {
            return Upper::Other;
        }
        if self.frag & FRAGMENT != 0 {
            return Upper::Fragment;
        }
        let Some(words) = usize::from(self.version_ihl & 15).checked_sub(5) else { return Upper::Other };
        match (Transport::of(self.proto), self.proto) {
            (Some(transport), _) if words == 0 => Upper::Transport(transport),
            (Some(_), _) => Upper::Extended,
            (None, V4::ICMP) => Upper::Icmp(words * 4),
            (None, IPIP | IPV6) => Upper::Tunnel,
            _ => Upper::Other,
        }
    }

    #[inline(always)]
    fn src(&self) -> Addr4 {
        Addr4(self.src)
    }

    #[inline(always)]
    fn dst(&self) -> Addr4 {
        Addr4(self.dst)
    }

    #[inline(always)]
    fn total_len(&self) -> u16 {
        u16::from_be(self.len)
    }

    #[inline(always)]
    fn holds(&self, bytes: usize) -> bool {
        self.len == 0 || 20 + bytes <= usize::from(u16::from_be(self.len))
    }

    #[inline(always)]
    fn hops(&self) -> u8 {
        self.ttl
    }

    #[inline(always)]
    fn set_addresses(&mut self, src: Addr4, dst: Addr4, delta: u16) {
        self.check = crate::checksum::adjust(self.check, delta);
        self.src = src.0;
        self.dst = dst.0;
    }

    #[inline(always)]
    fn answer(&mut self, payload: u16) {
        let header = u16::from(self.version_ihl & 15) * 4;
        let old = *self;
        self.len = (header + payload).to_be();
        self.id = 0;
        self.frag = DONT_FRAGMENT;
        self.ttl = HOPS;
        (self.src, self.dst) = (old.dst, old.src);
        self.check = Sum::default()
            .swap16(old.len, self.len)
            .swap16(old.id, self.id)
            .swap16(old.frag, self.frag)
            .swap16(u16::from_ne_bytes([old.ttl, 0]), u16::from_ne_bytes([HOPS, 0]))
            .apply(self.check);
    }

    #[inline(always)]
    fn answering(to: &Self, proto: u8, payload: u16) -> Self {
        let mut header = Self {
            version_ihl: 0x45,
            tos: to.tos,
            len: (20 + payload).to_be(),
            id: 0,
            frag: DONT_FRAGMENT,
            ttl: HOPS,
            proto,
            check: 0,
            src: to.dst,
            dst: to.src,
        };
        header.check = header.sum(Sum::default()).check();
        header
    }

    #[inline(always)]
    fn sum(&self, sum: Sum) -> Sum {
        sum.add16(u16::from_ne_bytes([self.version_ihl, self.tos]))
            .add16(self.len)
            .add16(self.id)
            .add16(self.frag)
            .add16(u16::from_ne_bytes([self.ttl, self.proto]))
            .add16(self.check)
            .add32(self.src)
            .add32(self.dst)
    }

    #[inline(always)]
    fn decrement_hops(&mut self) {
        let old = u16::from_ne_bytes([self.ttl, self.proto]);
        self.ttl = self.ttl.wrapping_sub(1);
        let new = u16::from_ne_bytes([self.ttl, self.proto]);
        self.check = Sum::default().swap16(old, new).apply(self.check);
    }
}

impl IpHeader for Ipv6 {
    type Addr = Addr6;

    #[inline(always)]
    fn upper(&self) -> Upper {
        if self.version_flow.to_ne_bytes()[0] >> 4 != 6 {
            return Upper::Other;
        }
        match (Transport::of(self.next), self.next) {
            (Some(transport), _) => Upper::Transport(transport),
            (None, V6::ICMP) => Upper::Icmp(0),
            (None, outline::FRAGMENT) => Upper::Fragment,
            (None, outline::HOP_BY_HOP | outline::ROUTING | outline::DESTINATION) => Upper::Extended,
            (None, IPIP | IPV6) => Upper::Tunnel,
            _ => Upper::Other,
        }
    }

    #[inline(always)]
    fn src(&self) -> Addr6 {
        Addr6(self.src)
    }

    #[inline(always)]
    fn dst(&self) -> Addr6 {
        Addr6(self.dst)
    }

    #[inline(always)]
    fn total_len(&self) -> u16 {
        u16::from_be(self.len).saturating_add(40)
    }

    #[inline(always)]
    fn holds(&self, bytes: usize) -> bool {
        self.len == 0 || bytes <= usize::from(u16::from_be(self.len))
    }

    #[inline(always)]
    fn hops(&self) -> u8 {
        self.hops
    }

    #[inline(always)]
    fn set_addresses(&mut self, src: Addr6, dst: Addr6, _delta: u16) {
        self.src = src.0;
        self.dst = dst.0;
    }

    #[inline(always)]
    fn answer(&mut self, payload: u16) {
        let (src, dst) = (self.src, self.dst);
        (self.src, self.dst) = (dst, src);
        self.len = payload.to_be();
        self.hops = HOPS;
    }

    #[inline(always)]
    fn answering(to: &Self, proto: u8, payload: u16) -> Self {
        Self {
            version_flow: 0x6000_0000_u32.to_be(),
            len: payload.to_be(),
            next: proto,
            hops: HOPS,
            src: to.dst,
            dst: to.src,
        }
    }

    #[inline(always)]
    fn sum(&self, sum: Sum) -> Sum {
        let sum =
            sum.add32(self.version_flow).add16(self.len).add16(u16::from_ne_bytes([self.next, self.hops]));
        self.dst().sum(self.src().sum(sum))
    }

    #[inline(always)]
    fn decrement_hops(&mut self) {
        self.hops = self.hops.wrapping_sub(1);
    }
}
