//! A parsed frame: its headers, its tuple, its rewriting.

use crate::{
    checksum::{Sum, adjust},
    crc32c,
    family::{Family, IpHeader as _, Upper},
    flow::Recipe,
    key::{FlowKey, FrontendKey, Hook},
    outline::Outline,
    wire::{Check, Cursor, Eth, Ports, SctpTail, TcpFlags, TcpTail, Transport, UdpTail},
};

/// Why a frame is none for the datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsed {
    /// It is something else; the stack's business.
    Foreign,
    /// A fragment; an [`Outline`](crate::outline::Outline) tells which.
    Fragment,
    /// There is something before the transport header; an [`Outline`](crate::outline::Outline) tells where that is.
    Extended,
    /// ICMP: it has no ports, but an error quotes a packet that had.
    Icmp,
    /// A packet in a packet.
    Tunnel,
    /// The headers go on beyond the bytes at hand.
    Short,
}

/// The transport layer's checksum, where it lies.
pub enum Checksum<'f> {
    /// The Internet checksum: TCP, UDP.
    Sum(&'f mut Check),
    /// `CRC32c`, which does not cover addresses: SCTP.
    Crc(&'f mut SctpTail),
}

/// A frame of family `F` with its headers found.
pub struct Packet<'f, F: Family> {
    /// Link layer.
    pub eth: &'f mut Eth,
    /// Network layer.
    pub ip: &'f mut F::Header,
    /// Ports of the transport layer.
    pub ports: &'f mut Ports,
    /// Checksum of the transport layer.
    pub check: Checksum<'f>,
    /// Transport protocol.
    pub transport: Transport,
    /// TCP control bits, or SCTP's in the same words; none for UDP.
    pub flags: TcpFlags,
    /// Bytes from the start of the frame to the transport header; 0 if there is none.
    pub l4_offset: usize,
}

/// The part of a transport header that a later fragment does not have.
#[derive(Debug)]
pub struct Absent {
    ports: Ports,
    check: Check,
}

impl Default for Absent {
    #[inline(always)]
    fn default() -> Self {
        Self { ports: Ports { src: 0, dst: 0 }, check: Check(0) }
    }
}

impl<'f, F: Family> Packet<'f, F> {
    /// Finds the headers behind an Ethernet header that named the family.
    #[inline(always)]
    pub fn parse(eth: &'f mut Eth, mut rest: Cursor<'f>) -> Result<Self, Unparsed> {
        let ip = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
        let transport = match ip.upper() {
            Upper::Transport(transport) => transport,
            Upper::Fragment => return Err(Unparsed::Fragment),
            Upper::Extended => return Err(Unparsed::Extended),
            Upper::Icmp(_) => return Err(Unparsed::Icmp),
            Upper::Tunnel => return Err(Unparsed::Tunnel),
            Upper::Other => return Err(Unparsed::Foreign),
        };
        Self::at(eth, ip, rest, transport, 0)
    }

    /// The same, where an [`Outline`](crate::outline::Outline) has found the transport header `skip` bytes
    /// behind the fixed IP header.
    #[inline(always)]
    pub fn parse_at(eth: &'f mut Eth, mut rest: Cursor<'f>, outline: Outline) -> Result<Self, Unparsed> {
        let ip = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
        Self::behind(eth, ip, rest, outline)
    }

    /// The same behind a fixed IP header.
    #[inline(always)]
    pub fn behind(
        eth: &'f mut Eth,
        ip: &'f mut F::Header,
        rest: Cursor<'f>,
        outline: Outline,
    ) -> Result<Self, Unparsed> {
        let transport = outline.transport().ok_or(Unparsed::Foreign)?;
        Self::at(eth, ip, rest, transport, outline.skip())
    }

    #[inline(always)]
    fn at(
        eth: &'f mut Eth,
        ip: &'f mut F::Header,
        mut rest: Cursor<'f>,
        transport: Transport,
        skip: usize,
    ) -> Result<Self, Unparsed> {
        // Bytes beyond the packet's end are padding, and no ports.
        if !ip.holds(skip + transport.header_len()) {
            return Err(Unparsed::Foreign);
        }
        rest.skip(skip);
        let ports = rest.take::<Ports>().ok_or(Unparsed::Short)?;
        let (check, flags) = match transport {
            Transport::Tcp => {
                let tail = rest.take::<TcpTail>().ok_or(Unparsed::Short)?;
                (Checksum::Sum(&mut tail.check), TcpFlags(tail.flags))
            }
            Transport::Udp => {
                let tail = rest.take::<UdpTail>().ok_or(Unparsed::Short)?;
                (Checksum::Sum(&mut tail.check), TcpFlags::default())
            }
            // Devices merge packets of TCP only to more than the length can say. The CRC asks for it.
            Transport::Sctp if usize::from(ip.total_len()) <= size_of::<F::Header>() + skip => {
                return Err(Unparsed::Foreign);
            }
            Transport::Sctp => {
                let tail = rest.take::<SctpTail>().ok_or(Unparsed::Short)?;
                let flags = tail.flags();
                (Checksum::Crc(tail), flags)
            }
        };
        let l4_offset = size_of::<Eth>() + size_of::<F::Header>() + skip;
        Ok(Self { eth, ip, ports, check, transport, flags, l4_offset })
    }

    /// The same, where the transport is known, and that nothing stands before it.
    #[inline(always)]
    pub fn parse_as(eth: &'f mut Eth, mut rest: Cursor<'f>, transport: Transport) -> Result<Self, Unparsed> {
        let ip = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
        Self::at(eth, ip, rest, transport, 0)
    }

    /// A fragment other than the first, which is rewritten like a packet without a
    /// checksum: what it does not carry is in `absent`, where writing it has no effect.
    #[inline(always)]
    pub fn later(
        eth: &'f mut Eth,
        mut rest: Cursor<'f>,
        transport: Transport,
        absent: &'f mut Absent,
    ) -> Result<Self, Unparsed> {
        let ip = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
        let Absent { ports, check } = absent;
        let check = Checksum::Sum(check);
        Ok(Self { eth, ip, ports, check, transport, flags: TcpFlags::default(), l4_offset: 0 })
    }

    /// Whether the packet is a fragment without a transport header.
    #[inline(always)]
    pub fn is_later(&self) -> bool {
        self.l4_offset == 0
    }

    /// The packet's flow key at `hook`.
    #[inline(always)]
    pub fn flow(&self, hook: Hook) -> FlowKey<F::Addr> {
        FlowKey {
            src: self.ip.src(),
            dst: self.ip.dst(),
            sport: self.ports.src,
            dport: self.ports.dst,
            proto: self.transport.number(),
            hook: hook as u8,
            pad: 0,
        }
    }

    /// The frontend that the packet is sent to.
    #[inline(always)]
    pub fn frontend(&self) -> FrontendKey<F::Addr> {
        FrontendKey::new(self.ip.dst(), self.ports.dst, self.transport)
    }

    /// Writes addresses, ports and the IP header's checksum. The transport's
    /// checksum is left: who holds the packet knows whether the device computes it.
    #[inline(always)]
    pub fn rewrite_headers(&mut self, recipe: &Recipe<F::Addr>) {
        self.ip.set_addresses(recipe.src, recipe.dst, recipe.addr_delta);
        self.ports.src = recipe.sport;
        self.ports.dst = recipe.dport;
    }

    /// Whether nothing stands between the fixed IP header and the transport's.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.l4_offset == size_of::<Eth>() + size_of::<F::Header>()
    }

    /// The Internet checksum of the transport as it lies in the packet, if it has one.
    #[inline(always)]
    pub fn sum(&self) -> Option<u16> {
        match &self.check {
            Checksum::Sum(check) => Some(check.0),
            Checksum::Crc(_) => None,
        }
    }

    /// Replaces the Internet checksum of the transport.
    #[inline(always)]
    pub fn set_sum(&mut self, sum: u16) {
        if let Checksum::Sum(check) = &mut self.check {
            // RFC 768: a computed zero is sent as its other representation.
            check.0 = if sum == 0 && self.transport == Transport::Udp { 0xffff } else { sum };
        }
    }

    /// Whether the packet carries no transport checksum at all. That is for IPv6 as well: datagrams that carry packets may
    /// do without (RFC 6935).
    #[inline(always)]
    pub fn is_unchecked(&self) -> bool {
        self.is_later()
            || match &self.check {
                Checksum::Sum(check) => self.transport == Transport::Udp && check.0 == 0,
                Checksum::Crc(tail) => tail.crc == 0,
            }
    }

    /// [`rewrite_headers`](Self::rewrite_headers) and the transport's checksum, for a
    /// frame whose checksums are all in place.
    #[inline(always)]
    pub fn rewrite(&mut self, recipe: &Recipe<F::Addr>) {
        if !self.is_unchecked() {
            match &mut self.check {
                Checksum::Sum(check) => {
                    let delta = Sum::default().add16(recipe.addr_delta).add16(recipe.port_delta).fold();
                    let sum = adjust(check.0, delta);
                    self.set_sum(sum);
                }
                Checksum::Crc(tail) => {
                    let header = self.l4_offset - size_of::<Eth>();
                    let len = self.ip.total_len().wrapping_sub(header as u16);
                    let new = Ports { src: recipe.sport, dst: recipe.dport };
                    tail.crc ^= crc_change(*self.ports, new, len);
                }
            }
        }
        self.rewrite_headers(recipe);
    }
}

/// How the CRC of an SCTP packet of `len` bytes changes with its ports, as it lies in the packet.
#[inline(always)]
fn crc_change(old: Ports, new: Ports, len: u16) -> u32 {
    let bytes = |ports: Ports| {
        let ([a, b], [c, d]) = (ports.src.to_ne_bytes(), ports.dst.to_ne_bytes());
        u32::from_le_bytes([a, b, c, d])
    };
    let difference = bytes(old) ^ bytes(new);
    if difference == 0 { 0 } else { crc32c::svclb_crc32c_change(difference, len.into()).to_le() }
}
