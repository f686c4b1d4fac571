//! What etherparse reads of a packet, however wrong its lengths are.

use etherparse::{LaxIpv4Slice, LaxIpv6Slice};

/// IANA protocol numbers.
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const SCTP: u8 = 132;
pub(super) const ICMPV6: u8 = 58;

/// Bytes of an Ethernet header.
pub(super) const ETHERNET: usize = 14;

/// An address of either family; IPv4's as IPv6 maps it.
pub(super) type Addr = [u8; 16];

/// An IP packet in a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) is_v6: bool,
    /// Where the IP header begins.
    pub(super) at: usize,
    /// Where the transport header begins.
    pub(super) l4: usize,
    pub(super) src: Addr,
    pub(super) dst: Addr,
    pub(super) proto: u8,
    /// Source and destination; what is too short for that, or a later fragment, has none.
    pub(super) ports: Option<(u16, u16)>,
    pub(super) is_fragment: bool,
    /// Whether it is a fragment other than the first.
    pub(super) is_later: bool,
}

impl View {
    /// The packet of a frame.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        match frame.get(12..ETHERNET)? {
            [0x08, 0x00] => Self::at(frame, ETHERNET, false),
            [0x86, 0xdd] => Self::at(frame, ETHERNET, true),
            _ => None,
        }
    }

    /// The packet that begins there.
    pub(super) fn at(frame: &[u8], at: usize, is_v6: bool) -> Option<Self> {
        let packet = frame.get(at..)?;
        let (src, dst, payload, fragment) = if is_v6 {
            let (ip, _stopped) = LaxIpv6Slice::from_slice(packet).ok()?;
            let header = ip.header();
            (header.source(), header.destination(), ip.payload().clone(), fragment_offset(packet))
        } else {
            let (ip, _stopped) = LaxIpv4Slice::from_slice(packet).ok()?;
            let header = ip.header();
            let (src, dst) = (mapped(header.source()), mapped(header.destination()));
            let offset = header.fragments_offset().value();
            (src, dst, ip.payload().clone(), header.is_fragmenting_payload().then_some(offset))
        };
        let is_later = fragment.is_some_and(|offset| offset != 0);
        let ports = match payload.payload {
            [a, b, c, d, ..] if !is_later => Some(ports([*a, *b, *c, *d])),
            _ => None,
        };
        Some(Self {
            is_v6,
            at,
            l4: payload.payload.as_ptr().addr() - frame.as_ptr().addr(),
            src,
            dst,
            proto: payload.ip_number.0,
            ports,
            is_fragment: fragment.is_some(),
            is_later,
        })
    }

    /// Whether it is ICMP of its family.
    pub(super) fn is_icmp(&self) -> bool {
        self.proto == if self.is_v6 { ICMPV6 } else { ICMP }
    }

    /// Whether it asks who is there.
    pub(super) fn is_echo(&self, frame: &[u8]) -> bool {
        self.is_icmp() && frame.get(self.l4) == Some(if self.is_v6 { &128 } else { &8 })
    }

    /// Whether it has ports that Services know.
    pub(super) fn is_transport(&self) -> bool {
        matches!(self.proto, TCP | UDP | SCTP)
    }

    /// Whether it is an ICMP error.
    pub(super) fn is_error(&self, frame: &[u8]) -> bool {
        let is_kind =
            |kind: &u8| if self.is_v6 { matches!(kind, 1..=4) } else { matches!(kind, 3 | 4 | 5 | 11 | 12) };
        self.is_icmp() && frame.get(self.l4).is_some_and(is_kind)
    }

    /// The packet that an ICMP error is about.
    pub(super) fn quoted(&self, frame: &[u8]) -> Option<Self> {
        if !self.is_error(frame) {
            return None;
        }
        let quote = Self::at(frame, self.l4 + 8, self.is_v6)?;
        // Of a quote there is as much as the error has room for, whatever length it claims.
        let ports = match frame.get(quote.l4..)? {
            [a, b, c, d, ..] if !quote.is_later => Some(ports([*a, *b, *c, *d])),
            _ => None,
        };
        Some(Self { ports, ..quote })
    }

    /// The packet that travels in this one: in IP, or in UDP at GUE's port.
    pub(super) fn inner(&self, frame: &[u8]) -> Option<Self> {
        const GUE: u16 = 6080;
        match (self.proto, self.ports) {
            (4, _) if !self.is_v6 => Self::at(frame, self.l4, false),
            (41, _) if self.is_v6 => Self::at(frame, self.l4, true),
            (UDP, Some((_, GUE))) => Self::at(frame, self.l4 + 8, self.is_v6),
            _ => None,
        }
    }
}

/// In units of 8 bytes, if an IPv6 packet is a fragment, whatever length it claims. Not by etherparse, whose iterator
/// reads beyond the end of extension headers that were cut.
fn fragment_offset(packet: &[u8]) -> Option<u16> {
    let (mut next, mut at) = (*packet.get(6)?, 40);
    loop {
        let [following, len, high, low] = packet.get(at..)?.first_chunk()?;
        match next {
            44 => return Some(u16::from_be_bytes([*high, *low]) >> 3),
            0 | 43 | 60 => at += (usize::from(*len) + 1) * 8,
            51 => at += (usize::from(*len) + 2) * 4,
            _ => return None,
        }
        next = *following;
    }
}

/// Source and destination.
fn ports([a, b, c, d]: [u8; 4]) -> (u16, u16) {
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// As IPv6 writes it.
pub(super) fn mapped(addr: [u8; 4]) -> Addr {
    let [a, b, c, d] = addr;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}
