//! The packets that say no: a TCP reset, ICMP errors ([`Notice`]).
//!
//! Both are made in place from the packet that is refused. Who holds the frame
//! first cuts it to [`kept`] bytes, and for ICMP makes room behind the Ethernet
//! header.
//!
//! A packet that a local stack sent may carry only the sum of its pseudo-header,
//! with the rest left to the device (`CHECKSUM_PARTIAL`). No helper tells, but the
//! field does: it holds exactly that sum, uncomplemented. The answer stays in the
//! form that the packet came in.

mod notice;
mod too_big;

pub use notice::Notice;
pub use too_big::{TOO_BIG_KEPT, TooBig, write_too_big};

use crate::{
    checksum::Sum,
    family::{Address as _, Family, IpHeader as _},
    outline::{Chain, Outline},
    packet::{Checksum, Packet, Unparsed},
    wire::{Cursor, Eth, IcmpError, Ports, TcpFlags, TcpTail, Transport, Word, Words},
};

/// How a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// RFC 9293 section 3.10.7.1.
    Reset,
    /// RFC 792, RFC 4443: port unreachable.
    Unreachable,
}

impl Refusal {
    /// How the packet of that outline is refused. A reset is never answered; nor is a
    /// fragment of a segment, whose length is not known.
    #[inline(always)]
    pub fn of_part(outline: Outline, transport: Transport, flags: TcpFlags) -> Option<Self> {
        if outline.is_fragment() && transport == Transport::Tcp { None } else { Self::of(transport, flags) }
    }

    /// How packets of that protocol are refused; a reset is never answered.
    #[inline(always)]
    pub fn of(transport: Transport, flags: TcpFlags) -> Option<Self> {
        match transport {
            Transport::Tcp | Transport::Sctp if flags.any(TcpFlags::RST) => None,
            Transport::Tcp => Some(Self::Reset),
            // RFC 9260 section 8.4 answers SCTP by an ABORT; netfilter's reject, and so kube-proxy, by ICMP.
            Transport::Udp | Transport::Sctp => Some(Self::Unreachable),
        }
    }
}

/// Bytes of a TCP header without options.
const TCP_LEN: usize = size_of::<Ports>() + size_of::<TcpTail>();

/// Bytes of the transport header that an ICMP error quotes: those that every receiver needs.
const QUOTED: usize = 8;

/// Bytes of the refused frame that its answer is made of.
#[inline(always)]
pub fn kept(refusal: Refusal, l4_offset: usize) -> usize {
    match refusal {
        Refusal::Reset => l4_offset + TCP_LEN,
        Refusal::Unreachable => l4_offset + QUOTED,
    }
}

/// Bytes that ICMP needs between the Ethernet header and the quoted packet.
#[inline(always)]
pub fn room<F: Family>() -> usize {
    size_of::<F::Header>() + size_of::<IcmpError>()
}

/// Sum of the pseudo-header, RFC 9293 section 3.1 and RFC 8200 section 8.1.
#[inline(always)]
pub fn pseudo_header<F: Family>(ip: &F::Header, proto: u8, len: u16) -> Sum {
    ip.dst().sum(ip.src().sum(Sum::default())).add16(u16::from(proto).to_be()).add16(len.to_be())
}

/// Whether the packet's transport checksum is left to the device.
#[inline(always)]
pub fn is_partial<F: Family>(packet: &Packet<'_, F>) -> bool {
    let Checksum::Sum(check) = &packet.check else { return false };
    let header = packet.l4_offset - size_of::<Eth>();
    let len = packet.total_l4(header);
    pseudo_header::<F>(packet.ip, packet.transport.number(), len).fold() == check.0
}

impl<F: Family> Packet<'_, F> {
    /// Bytes from the transport header on, by the IP header's word.
    #[inline(always)]
    fn total_l4(&self, header: usize) -> u16 {
        let total = self.ip.total_len();
        total.wrapping_sub(header as u16)
    }
}

#[inline(always)]
pub(super) fn swap_macs(eth: &mut Eth) {
    (eth.dst, eth.src) = (eth.src, eth.dst);
}

/// What a reset must know of the segment that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Bytes from the start of the frame to the TCP header.
    pub l4_offset: usize,
    /// Bytes from the TCP header on.
    pub len: u16,
    /// [`is_partial`].
    pub partial: bool,
}

impl Segment {
    /// The segment in a packet.
    #[inline(always)]
    pub fn of<F: Family>(packet: &Packet<'_, F>) -> Self {
        let len = packet.total_l4(packet.l4_offset - size_of::<Eth>());
        Self { l4_offset: packet.l4_offset, len, partial: is_partial(packet) }
    }
}

/// Where the TCP header of the reset will be that answers a segment with its header at
/// `l4_offset`: a reset has no extension headers.
#[inline(always)]
pub fn reset_offset<F: Family>(l4_offset: usize) -> usize {
    if F::Header::IS_LEFT_OUT { size_of::<Eth>() + size_of::<F::Header>() } else { l4_offset }
}

/// Moves the TCP header of a frame from `l4_offset` to [`reset_offset`].
#[inline(always)]
pub fn close_up<F: Family>(mut frame: Cursor<'_>, l4_offset: usize) -> Result<(), Unparsed> {
    let skip = l4_offset - size_of::<Eth>() - size_of::<F::Header>();
    if !F::Header::IS_LEFT_OUT || skip == 0 {
        return Ok(());
    }
    let _eth = frame.take::<Eth>().ok_or(Unparsed::Short)?;
    let ip = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
    let ports = frame.peek::<Ports>(skip).ok_or(Unparsed::Short)?;
    let tail = frame.peek::<TcpTail>(skip + size_of::<Ports>()).ok_or(Unparsed::Short)?;
    *frame.take::<Ports>().ok_or(Unparsed::Short)? = ports;
    *frame.take::<TcpTail>().ok_or(Unparsed::Short)? = tail;
    ip.set_next(Transport::Tcp.number());
    Ok(())
}

/// Makes the first [`kept`] bytes of a frame the reset of the segment in it.
#[inline(always)]
pub fn write_reset<F: Family>(mut frame: Cursor<'_>, segment: Segment) -> Result<(), Unparsed> {
    let eth = frame.take::<Eth>().ok_or(Unparsed::Short)?;
    let ip = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
    frame.skip((segment.l4_offset - size_of::<Eth>() - size_of::<F::Header>()) & 63);
    let ports = frame.take::<Ports>().ok_or(Unparsed::Short)?;
    let tcp = frame.take::<TcpTail>().ok_or(Unparsed::Short)?;

    swap_macs(eth);
    ip.answer(TCP_LEN as u16);
    (ports.src, ports.dst) = (ports.dst, ports.src);

    let flags = TcpFlags(tcp.flags);
    if flags.any(TcpFlags::ACK) {
        (tcp.seq, tcp.ack, tcp.flags) = (tcp.ack, 0, TcpFlags::RST);
    } else {
        let data = u32::from(segment.len).wrapping_sub(u32::from(tcp.offset >> 4) * 4);
        let len = data
            .wrapping_add(u32::from(flags.any(TcpFlags::SYN)))
            .wrapping_add(u32::from(flags.any(TcpFlags::FIN)));
        let acknowledged = u32::from_be(tcp.seq).wrapping_add(len);
        (tcp.seq, tcp.ack, tcp.flags) = (0, acknowledged.to_be(), TcpFlags::RST | TcpFlags::ACK);
    }
    tcp.offset = (TCP_LEN as u8 / 4) << 4;
    tcp.window = 0;
    tcp.urgent = 0;

    let pseudo = pseudo_header::<F>(ip, Transport::Tcp.number(), TCP_LEN as u16);
    tcp.check.0 = if segment.partial {
        pseudo.fold()
    } else {
        pseudo
            .add16(ports.src)
            .add16(ports.dst)
            .add32(tcp.seq)
            .add32(tcp.ack)
            .add16(u16::from_ne_bytes([tcp.offset, tcp.flags]))
            .check()
    };
    Ok(())
}

/// Adds the next `N` words, of which there is a power of two, if `bytes` has the bit of their length.
#[inline(always)]
fn add_if<const N: usize>(sum: Sum, frame: &mut Cursor<'_>, bytes: usize) -> Result<Sum, Unparsed> {
    const { assert!(N.is_power_of_two()) };
    if bytes & size_of::<Words<N>>() == 0 {
        return Ok(sum);
    }
    let mut sum = sum;
    let words = frame.take::<Words<N>>().ok_or(Unparsed::Short)?;
    let mut word = 0;
    while word < N {
        sum = sum.add32(words.0[word].0);
        word += 1;
    }
    Ok(sum)
}

/// Fills the room before a quoted packet with an IP and an ICMP header that say `notice`. `quoted` is
/// the length of the quoted packet in bytes: its IP header and [`QUOTED`] bytes.
#[inline(always)]
pub fn write_notice<F: Family>(
    mut frame: Cursor<'_>,
    notice: Notice<'_, F::Addr>,
    quoted: usize,
    partial: bool,
) -> Result<(), Unparsed> {
    let eth = frame.take::<Eth>().ok_or(Unparsed::Short)?;
    let ip = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
    let icmp = frame.take::<IcmpError>().ok_or(Unparsed::Short)?;
    let original = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
    let between =
        (quoted - size_of::<F::Header>() - QUOTED) & ((F::Header::LONGEST + 1).next_power_of_two() - 1);
    let l4_len = original.total_len().wrapping_sub((size_of::<F::Header>() + between) as u16);

    let mut sum = original.sum(notice.write::<F>(eth, ip, icmp, original, quoted));
    // By halves: the verifier follows every way through a loop, and loses a bounds check that moves.
    sum = add_if::<64>(sum, &mut frame, between)?;
    sum = add_if::<32>(sum, &mut frame, between)?;
    sum = add_if::<16>(sum, &mut frame, between)?;
    sum = add_if::<8>(sum, &mut frame, between)?;
    sum = add_if::<4>(sum, &mut frame, between)?;
    sum = add_if::<2>(sum, &mut frame, between)?;
    if F::Header::UNIT == size_of::<Word>() {
        sum = add_if::<1>(sum, &mut frame, between)?;
    }
    if partial {
        // The device completes the quoted checksum so that these bytes, summed, are the
        // complement of the pseudo-header.
        sum = sum.add16(pseudo_header::<F>(original, Transport::Udp.number(), l4_len).check());
    } else {
        sum = sum.add32(frame.take::<Word>().ok_or(Unparsed::Short)?.0);
        sum = sum.add32(frame.take::<Word>().ok_or(Unparsed::Short)?.0);
    }
    icmp.check.0 = sum.check();
    Ok(())
}
