//! A packet in a packet: the outer headers.
//!
//! IP in IP is RFC 2003 and RFC 2473. GUE is the draft's variant 1 (draft-ietf-intarea-gue): UDP
//! whose payload is an IP packet, without a header of its own.

use crate::{
    checksum::Sum,
    family::{Addr4, Addr6, Family, IPIP, IPV6, IpHeader as _, V4, V6},
    packet::{Packet, Unparsed},
    wire::{Check, Cursor, Eth, Ipv4, Ipv6, Ports, Transport, UdpTail},
};

/// UDP port of GUE, network byte order (IANA).
pub const GUE_PORT: u16 = 6080_u16.to_be();

/// What a packet travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// An IP packet of its own family.
    Ip,
    /// A UDP datagram of its own family.
    Gue,
}

impl Encapsulation {
    /// [`Gue`](Self::Gue), or else IP alone.
    #[inline(always)]
    pub fn of(is_gue: bool) -> Self {
        if is_gue { Self::Gue } else { Self::Ip }
    }

    /// Bytes of the outer headers.
    #[inline(always)]
    pub fn overhead<F: Family>(self) -> usize {
        size_of::<F::Header>()
            + match self {
                Self::Ip => 0,
                Self::Gue => size_of::<Ports>() + size_of::<UdpTail>(),
            }
    }
}

/// A family whose packets carry others.
pub trait Carry: Family {
    /// IANA protocol number of the family in IP.
    const IN_IP: u8;
    /// The largest packet that every sender may rely on to pass (RFC 8200 section 5; for IPv4 what
    /// every receiver takes, RFC 791, because no sender goes lower in practice).
    const MIN_MTU: u16;
    /// A header for `payload` bytes of protocol `proto`, whose first are those of `inner`. Traffic
    /// class and "don't fragment" are the inner packet's.
    fn carrying(
        inner: &Self::Header,
        src: Self::Addr,
        dst: Self::Addr,
        proto: u8,
        payload: usize,
    ) -> Self::Header;
    /// The protocol that follows the header at once; none for a header that is not alone.
    fn carried(outer: &Self::Header) -> Option<u8>;
}

/// Hop limit of the outer packet: Linux's default.
const HOPS: u8 = 64;

/// IPv4 flag "don't fragment".
const DONT_FRAGMENT: u16 = 0x4000_u16.to_be();

impl Carry for V4 {
    const IN_IP: u8 = IPIP;
    const MIN_MTU: u16 = 576;

    #[inline(always)]
    fn carrying(inner: &Ipv4, src: Addr4, dst: Addr4, proto: u8, payload: usize) -> Ipv4 {
        let frag = inner.frag & DONT_FRAGMENT;
        let mut header = Ipv4 {
            version_ihl: 0x45,
            tos: inner.tos,
            len: length(payload + size_of::<Ipv4>()),
            // Counts for what may be fragmented only (RFC 6864), and then the sender has seen to it.
            id: if frag == 0 { inner.id } else { 0 },
            frag,
            ttl: HOPS,
            proto,
            check: 0,
            src: src.0,
            dst: dst.0,
        };
        header.check = header.sum(Sum::default()).check();
        header
    }

    #[inline(always)]
    fn carried(outer: &Ipv4) -> Option<u8> {
        (outer.version_ihl == 0x45 && outer.frag & !DONT_FRAGMENT == 0).then_some(outer.proto)
    }
}

impl Carry for V6 {
    const IN_IP: u8 = IPV6;
    const MIN_MTU: u16 = 1280;

    #[inline(always)]
    fn carrying(inner: &Ipv6, src: Addr6, dst: Addr6, proto: u8, payload: usize) -> Ipv6 {
        Ipv6 {
            version_flow: inner.version_flow,
            len: length(payload),
            next: proto,
            hops: HOPS,
            src: src.0,
            dst: dst.0,
        }
    }

    #[inline(always)]
    fn carried(outer: &Ipv6) -> Option<u8> {
        (outer.version_flow.to_ne_bytes()[0] >> 4 == 6).then_some(outer.next)
    }
}

/// A length field. Zero where the device has merged packets to more than it can say.
#[inline(always)]
fn length(bytes: usize) -> u16 {
    if bytes > 0xffff { 0 } else { (bytes as u16).to_be() }
}

/// The outer source port of a flow's packets, from 49152 on (RFC 8085 section 5.1.1), network byte
/// order: the network spreads flows by it.
#[inline(always)]
pub fn entropy<F: Family>(packet: &Packet<'_, F>) -> u16 {
    entropy_of::<F>(packet.ip, packet.ports)
}

/// The same by a packet's addresses and ports. That of an answer is that of what it answers.
#[inline(always)]
pub fn entropy_of<F: Family>(ip: &F::Header, ports: &Ports) -> u16 {
    use crate::family::Address as _;
    let sum = ip.dst().sum(ip.src().sum(Sum::default()));
    let hash = u16::from_be(sum.add16(ports.src).add16(ports.dst).fold());
    (0xc000 | hash & 0x3fff).to_be()
}

/// Whether a datagram is to the port of GUE.
#[inline(always)]
pub fn is_gue<F: Family>(packet: &Packet<'_, F>) -> bool {
    packet.transport == Transport::Udp && packet.ports.dst == GUE_PORT
}

/// Fills the room between the Ethernet header and a packet with the outer headers; `sport` is GUE's
/// source port.
#[inline(always)]
pub fn write_outer<F: Carry>(
    mut frame: Cursor<'_>,
    encapsulation: Encapsulation,
    src: F::Addr,
    dst: F::Addr,
    sport: u16,
) -> Result<(), Unparsed> {
    let _eth = frame.take::<Eth>().ok_or(Unparsed::Short)?;
    let outer = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
    match encapsulation {
        Encapsulation::Ip => {
            let inner = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
            *outer = F::carrying(inner, src, dst, F::IN_IP, usize::from(inner.total_len()));
        }
        Encapsulation::Gue => {
            let ports = frame.take::<Ports>().ok_or(Unparsed::Short)?;
            let udp = frame.take::<UdpTail>().ok_or(Unparsed::Short)?;
            let inner = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
            let len = usize::from(inner.total_len()) + size_of::<Ports>() + size_of::<UdpTail>();
            *ports = Ports { src: sport, dst: GUE_PORT };
            // No checksum (RFC 768, RFC 6935): the inner packet has its own.
            *udp = UdpTail { len: length(len), check: Check(0) };
            *outer = F::carrying(inner, src, dst, Transport::Udp.number(), len);
        }
    }
    Ok(())
}

/// The header of a packet in a packet, and the inner packet.
#[inline(always)]
pub fn parse_inner<F: Carry>(
    mut frame: Cursor<'_>,
    encapsulation: Encapsulation,
) -> Result<(&mut F::Header, Packet<'_, F>), Unparsed> {
    let eth = frame.take::<Eth>().ok_or(Unparsed::Short)?;
    let outer = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
    match encapsulation {
        Encapsulation::Ip if F::carried(outer) == Some(F::IN_IP) => {}
        Encapsulation::Gue if F::carried(outer) == Some(Transport::Udp.number()) => {
            frame.skip(size_of::<Ports>() + size_of::<UdpTail>());
        }
        _ => return Err(Unparsed::Foreign),
    }
    Ok((outer, Packet::<F>::parse(eth, frame)?))
}
