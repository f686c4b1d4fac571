//! Where things are in a packet whose headers are not the usual ones: IPv4 options, IPv6
//! extension headers, fragments.
//!
//! What the stack would not take to the address in the header is not ours: a source route
//! (RFC 791) or a routing header with segments left (RFC 8200 section 4.4) names another
//! destination, and the checksum is that one's.

use crate::{
    family::{Family, IpHeader},
    packet::Unparsed,
    wire::{Cursor, ExtensionHead, Ipv4, Ipv6, OptionHead, Ports, SctpTail, TcpTail, Transport, UdpTail},
};

/// IANA numbers of the IPv6 extension headers that are looked behind.
pub const HOP_BY_HOP: u8 = 0;
/// Routing header.
pub const ROUTING: u8 = 43;
/// Fragment header.
pub const FRAGMENT: u8 = 44;
/// Destination options.
pub const DESTINATION: u8 = 60;

/// Most extension headers of a packet. RFC 8200 knows six places, RFC 8504 section 5.3
/// lets a node set a limit.
pub const MOST_EXTENSIONS: u64 = 6;
/// Most bytes of all extension headers together.
pub const LONGEST_EXTENSIONS: usize = 256;
/// Bytes of the longest IPv4 options.
pub const LONGEST_OPTIONS: usize = 40;

/// Enough for every header that the datapath reads: Ethernet, the longest IPv6 header
/// that it looks behind, and TCP without options.
pub const HEADERS: u32 = 14 + 40 + LONGEST_EXTENSIONS as u32 + 20;

/// Which part of a datagram a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// All of it.
    Whole = 0,
    /// Its first fragment, with the transport header.
    First = 1,
    /// Another fragment.
    Later = 2,
    /// Its first fragment, which tells nothing: too short for the transport header (RFC 7112, RFC 1858), or of
    /// SCTP, whose CRC covers all fragments and changes with how long they are together, which only the
    /// last one tells.
    Stub = 3,
}

/// Where things are in a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Bytes between the fixed IP header and the transport header.
    skip: u16,
    /// IANA number of the transport; 0 if an IPv6 fragment does not tell.
    pub proto: u8,
    /// [`Part`].
    part: u8,
    /// Identification of a fragment's datagram, network byte order; IPv4's in 16 bits.
    pub id: u32,
}

impl Outline {
    /// That of a packet with `transport` right behind the fixed IP header.
    #[inline(always)]
    pub fn plain(transport: Transport) -> Self {
        Self { skip: 0, proto: transport.number(), part: Part::Whole as u8, id: 0 }
    }

    /// That of the packet that begins with `ip` and goes on with `rest`.
    #[inline(always)]
    pub fn of<F: Family>(ip: &F::Header, rest: &Cursor<'_>) -> Result<Self, Unparsed> {
        let outline = ip.walk(rest)?;
        let is_sctp = outline.proto == Transport::Sctp.number();
        let tells = !is_sctp && ip.holds(outline.skip() + outline.header_len());
        if outline.is_first() && !tells {
            return Ok(Self { part: Part::Stub as u8, ..outline });
        }
        Ok(outline)
    }

    /// Bytes between the fixed IP header and the transport header, with a bound that
    /// is plain to see.
    #[inline(always)]
    pub fn skip(self) -> usize {
        usize::from(self.skip) & (2 * LONGEST_EXTENSIONS - 1)
    }

    /// The transport.
    #[inline(always)]
    pub fn transport(self) -> Option<Transport> {
        Transport::of(self.proto)
    }

    /// Whether the packet is a fragment.
    #[inline(always)]
    pub fn is_fragment(self) -> bool {
        self.part != Part::Whole as u8
    }

    /// Whether the packet is a first fragment with a transport header.
    #[inline(always)]
    pub fn is_first(self) -> bool {
        self.part == Part::First as u8
    }

    /// Whether the packet is a fragment without a transport header of its own.
    #[inline(always)]
    pub fn is_headless(self) -> bool {
        self.part >= Part::Later as u8
    }

    /// Whether the packet's first fragment may be known.
    #[inline(always)]
    pub fn is_later(self) -> bool {
        self.part == Part::Later as u8
    }

    /// Whether a packet is one that [`Packet::parse`](crate::packet::Packet::parse) reads.
    #[inline(always)]
    pub fn is_plain(self) -> bool {
        self.skip == 0 && !self.is_fragment()
    }

    fn header_len(self) -> usize {
        let tail = match self.transport() {
            Some(Transport::Tcp) => size_of::<TcpTail>(),
            Some(Transport::Sctp) => size_of::<SctpTail>(),
            Some(Transport::Udp) | None => size_of::<UdpTail>(),
        };
        size_of::<Ports>() + tail
    }
}

/// What may stand between a family's fixed header and the transport's.
pub trait Chain {
    /// Whether an answer that is made in place leaves that out.
    const IS_LEFT_OUT: bool;
    /// Most bytes of it.
    const LONGEST: usize;
    /// Its length is a multiple of so many bytes.
    const UNIT: usize;
    /// Finds the transport header; `rest` begins behind the fixed header.
    fn walk(&self, rest: &Cursor<'_>) -> Result<Outline, Unparsed>;
    /// Makes `proto` what follows the fixed header, if a chain begins there.
    fn set_next(&mut self, proto: u8);
}

impl Chain for Ipv4 {
    const IS_LEFT_OUT: bool = false;
    const LONGEST: usize = LONGEST_OPTIONS;
    const UNIT: usize = 4;

    #[inline(always)]
    fn walk(&self, rest: &Cursor<'_>) -> Result<Outline, Unparsed> {
        const OFFSET: u16 = 0x1fff_u16.to_be();
        const MORE: u16 = 0x2000_u16.to_be();
        let proto = self.proto;
        let words = usize::from(self.version_ihl & 15).checked_sub(5).ok_or(Unparsed::Foreign)?;
        // A header that ends before its options is none, whatever they are.
        if words != 0 && rest.peek::<OptionHead>(words * 4 - size_of::<OptionHead>()).is_none() {
            return Err(Unparsed::Short);
        }
        if Transport::of(proto).is_none() || is_source_routed(rest, words * 4)? {
            return Err(Unparsed::Foreign);
        }
        let part = match (self.frag & OFFSET, self.frag & MORE) {
            (0, 0) => Part::Whole,
            (0, _) => Part::First,
            _ => Part::Later,
        };
        Ok(Outline { skip: words as u16 * 4, proto, part: part as u8, id: self.id.into() })
    }

    #[inline(always)]
    fn set_next(&mut self, _proto: u8) {}
}

/// Options of a packet that are looked at. The stack behind looks at all of them, so that a
/// source route behind so many others is dropped there.
const LOOKED_AT: u64 = 8;

/// Whether the options at the start of `rest` hold a source route, loose or strict. An
/// error for options that no stack takes.
#[inline(always)]
fn is_source_routed(rest: &Cursor<'_>, len: usize) -> Result<bool, Unparsed> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const LOOSE: u8 = 131;
    const STRICT: u8 = 137;
    let mut at = 0;
    let mut turn = 0_u64;
    while turn < LOOKED_AT {
        if at >= len {
            break;
        }
        // The last option may be of one byte; the transport header is behind it.
        let option = rest.peek::<OptionHead>(at).ok_or(Unparsed::Short)?;
        at += match option.kind {
            END => return Ok(false),
            NOTHING => 1,
            LOOSE | STRICT => return Ok(true),
            _ if option.len < 2 => return Err(Unparsed::Foreign),
            _ => usize::from(option.len),
        };
        turn += 1;
    }
    if at > len { Err(Unparsed::Foreign) } else { Ok(false) }
}

impl Chain for Ipv6 {
    const IS_LEFT_OUT: bool = true;
    const LONGEST: usize = LONGEST_EXTENSIONS;
    const UNIT: usize = 8;

    #[inline(always)]
    fn walk(&self, rest: &Cursor<'_>) -> Result<Outline, Unparsed> {
        /// RFC 8200 section 4.5: "more fragments".
        const MORE: u16 = 1_u16.to_be();
        let mut outline = Outline { skip: 0, proto: self.next, part: Part::Whole as u8, id: 0 };
        let mut turn = 0_u64;
        while turn < MOST_EXTENSIONS {
            if !matches!(outline.proto, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
                break;
            }
            let head = rest.peek::<ExtensionHead>(outline.skip()).ok_or(Unparsed::Short)?;
            let (proto, next) = (outline.proto, head.next);
            let place = head.place;
            let mut len = (u16::from(head.len) + 1) * 8;
            if proto == FRAGMENT {
                if outline.is_fragment() || Transport::of(next).is_none() && !is_extension(next) {
                    return Err(Unparsed::Foreign);
                }
                len = 8;
                if head.is_later_fragment() {
                    return Ok(Outline { skip: 0, proto: 0, part: Part::Later as u8, id: head.id });
                }
                if place & MORE != 0 {
                    (outline.part, outline.id) = (Part::First as u8, head.id);
                }
            }
            // Hop-by-hop options come first or not at all.
            let is_misplaced = proto == HOP_BY_HOP && turn != 0;
            if is_misplaced || proto == ROUTING && place.to_ne_bytes()[1] != 0 {
                return Err(Unparsed::Foreign);
            }
            outline.skip += len;
            if usize::from(outline.skip) > LONGEST_EXTENSIONS {
                return Err(Unparsed::Foreign);
            }
            outline.proto = next;
            turn += 1;
        }
        if Transport::of(outline.proto).is_some() { Ok(outline) } else { Err(Unparsed::Foreign) }
    }

    #[inline(always)]
    fn set_next(&mut self, proto: u8) {
        self.next = proto;
    }
}

#[inline(always)]
fn is_extension(number: u8) -> bool {
    matches!(number, HOP_BY_HOP | ROUTING | DESTINATION)
}
