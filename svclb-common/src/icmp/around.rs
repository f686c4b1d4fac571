//! Complaints about the packets that others travel in: a link between the nodes carries less.
//!
//! Such a complaint comes to the node that has put one packet into the other, and quotes the outer
//! one. The client must hear of it: about the packet that it has sent, and with the size that this may
//! have (RFC 2003 section 5.1). For that the quote must reach to the inner packet's ports; 28 bytes,
//! which RFC 792 asks for, do not.

use crate::{
    balance::{Tables, any},
    checksum::Sum,
    encap::{Carry, Encapsulation, GUE_PORT},
    family::{Address as _, IpHeader as _, Upper},
    flow::Action,
    icmp::{Icmp, Quote},
    key::{FlowKey, Hook},
    packet::Unparsed,
    refuse::{TooBig, pseudo_header},
    wire::{Check, Cursor, Eth, IcmpError, Ports, Transport, UdpTail},
};

/// A message that an outer packet was too big.
pub struct Around<'f, F: Icmp> {
    /// Link layer.
    pub eth: &'f mut Eth,
    /// Network layer of the message.
    pub ip: &'f mut F::Header,
    icmp: &'f mut IcmpError,
    outer: &'f mut F::Header,
    /// The outer packet's own transport, if it has one.
    udp: Option<(&'f mut Ports, &'f mut UdpTail)>,
    inner: Quote<'f, F>,
}

/// What a message quotes.
pub enum Quoted<'f, F: Icmp> {
    /// No packet around another one.
    Other,
    /// One of which too little is there, in a message with this header.
    Short(&'f mut F::Header),
    /// One with the ports of the packet in it.
    Whole(Around<'f, F>),
}

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Bytes that are taken out of the message.
    pub overhead: u32,
    /// Bytes of the inner packet that pass.
    mtu: u32,
    /// Bytes of the message behind its IP header.
    payload: u16,
    check: u16,
}

impl<'f, F: Icmp + Carry + TooBig> Quoted<'f, F> {
    /// Finds the headers in a frame. The message has no options, as nobody's errors have.
    #[inline(always)]
    pub fn parse(frame: Cursor<'f>) -> Self {
        Self::find(frame).unwrap_or(Self::Other)
    }

    #[inline(always)]
    fn find(mut rest: Cursor<'f>) -> Result<Self, Unparsed> {
        let eth = rest.take::<Eth>().ok_or(Unparsed::Short)?;
        let ip = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
        let Upper::Icmp(0) = ip.upper() else { return Err(Unparsed::Foreign) };
        let icmp = rest.take::<IcmpError>().ok_or(Unparsed::Short)?;
        let outer = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
        let mut before = size_of::<IcmpError>() + size_of::<F::Header>();
        if (icmp.kind, icmp.code) != F::TOO_BIG || outer.src() != ip.dst() || !ip.holds(before) {
            return Err(Unparsed::Foreign);
        }
        let udp = match F::carried(outer) {
            Some(number) if number == F::IN_IP => None,
            Some(number) if number == Transport::Udp.number() => {
                let ports = rest.take::<Ports>().ok_or(Unparsed::Short)?;
                if ports.dst != GUE_PORT {
                    return Err(Unparsed::Foreign);
                }
                before += size_of::<Ports>() + size_of::<UdpTail>();
                let Some(tail) = rest.take::<UdpTail>() else { return Ok(Self::Short(ip)) };
                Some((ports, tail))
            }
            _ => return Err(Unparsed::Foreign),
        };
        let Some(inner) = Quote::parse(ip, before, rest) else { return Ok(Self::Short(ip)) };
        Ok(Self::Whole(Around { eth, ip, icmp, outer, udp, inner }))
    }
}

impl<F: Icmp + Carry + TooBig> Around<'_, F> {
    /// The key of the flow that the inner packet is of.
    #[inline(always)]
    pub fn flow(&self) -> FlowKey<F::Addr> {
        FlowKey {
            src: self.inner.ip.src(),
            dst: self.inner.ip.dst(),
            sport: self.inner.ports.src,
            dport: self.inner.ports.dst,
            proto: self.inner.transport.number(),
            hook: Hook::Ingress as u8,
            pad: 0,
        }
    }

    /// Whether this node has put the packets of the flow under `key` into such ones.
    #[inline(always)]
    pub fn is_ours<T: Tables<F>>(&self, tables: &T, key: &FlowKey<F::Addr>) -> bool {
        any(tables, key).is_some_and(|entry| {
            let recipe = &entry.recipe;
            recipe.action() == Action::Tunnel
                && recipe.src.is(self.outer.src())
                && recipe.dst.is(self.outer.dst())
        })
    }

    /// What the client is told; nothing where it cannot be told a size.
    ///
    /// The checksum changes by what goes and what comes, and so stays wrong if it was.
    #[inline(always)]
    pub fn relayed(&self) -> Option<Relayed> {
        let encapsulation = Encapsulation::of(self.udp.is_some());
        let overhead = encapsulation.overhead::<F>() as u32;
        let old = self.ip.total_len().checked_sub(size_of::<F::Header>() as u16)?;
        let payload = old.checked_sub(overhead as u16)?;
        let mtu = u32::from_be(self.icmp.rest) & F::MTU_BITS;
        let mtu = mtu.checked_sub(overhead).filter(|mtu| *mtu != 0)?;
        let mut gone = self.outer.sum(Sum::default());
        if let Some((ports, tail)) = &self.udp {
            gone = gone.add16(ports.src).add16(ports.dst).add16(tail.len).add16(tail.check.0);
        }
        let mut sum = Sum::default().swap32(self.icmp.rest, mtu.to_be()).add16(!gone.fold());
        if F::ICMP_PSEUDO_HEADER {
            // The ends of the new message are those of the inner packet, whose order does not count.
            sum = sum.add16(!pseudo_header::<F>(self.ip, F::ICMP, old).fold()).plus(pseudo_header::<F>(
                self.inner.ip,
                F::ICMP,
                payload,
            ));
        }
        Some(Relayed { overhead, mtu, payload, check: sum.apply(self.icmp.check.0) })
    }
}

impl Relayed {
    /// Bytes of the message with its IP header.
    #[inline(always)]
    pub fn total_len<F: Icmp>(self) -> u16 {
        self.payload.saturating_add(size_of::<F::Header>() as u16)
    }

    /// Writes the message's headers into a frame out of which [`overhead`](Self::overhead) bytes were
    /// taken behind the Ethernet header. It comes from the address that the client sends to, which
    /// knows no other.
    #[inline(always)]
    pub fn write<F: TooBig>(self, mut frame: Cursor<'_>) -> Result<(), Unparsed> {
        let _eth = frame.take::<Eth>().ok_or(Unparsed::Short)?;
        let ip = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
        let icmp = frame.take::<IcmpError>().ok_or(Unparsed::Short)?;
        let inner = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
        *ip = F::Header::answering(inner, F::ICMP, self.payload);
        let (kind, code) = F::TOO_BIG;
        *icmp = IcmpError { kind, code, check: Check(self.check), rest: self.mtu.to_be() };
        Ok(())
    }
}
