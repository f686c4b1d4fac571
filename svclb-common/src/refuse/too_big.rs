//! ICMP "fragmentation needed" (RFC 1191) and `ICMPv6` "packet too big" (RFC 4443 section 3.2).

use super::notice::Notice;
use crate::{
    checksum::Sum,
    family::{Family, IpHeader as _, V4, V6},
    packet::Unparsed,
    wire::{Cursor, Eth, IcmpError, Word},
};

/// Bytes of the packet that are quoted, from its IP header on. Both RFCs ask for as many as fit into
/// the smallest packet that everybody takes; this many hold the longest headers that a receiver
/// needs, and are few enough to be summed without a loop that the verifier has to follow.
const QUOTED: usize = 128;

/// Bytes of the frame that the answer is made of.
pub const TOO_BIG_KEPT: usize = size_of::<Eth>() + QUOTED;

/// A family's way to say that a packet is too big.
pub trait TooBig: Family {
    /// ICMP type and code.
    const TOO_BIG: (u8, u8);
    /// Where a message has the size, in the word behind its checksum, host byte order.
    const MTU_BITS: u32;
    /// Sum of a packet's header whose transport checksum is left to the device.
    fn header_sum(header: &Self::Header) -> Sum;
}

impl TooBig for V4 {
    const TOO_BIG: (u8, u8) = (3, 4);
    const MTU_BITS: u32 = 0xffff;

    /// A header with its checksum in it, options and all, sums up to nothing.
    #[inline(always)]
    fn header_sum(_header: &Self::Header) -> Sum {
        Sum::default()
    }
}

impl TooBig for V6 {
    const TOO_BIG: (u8, u8) = (2, 0);
    const MTU_BITS: u32 = u32::MAX;

    #[inline(always)]
    fn header_sum(header: &Self::Header) -> Sum {
        header.sum(Sum::default())
    }
}

/// Fills the room before a packet that was cut to [`TOO_BIG_KEPT`] bytes: `mtu` bytes of it would
/// have been carried. `partial` is the transport's checksum field if the rest is left to the device:
/// then the field holds the sum of the pseudo-header, and the device makes the quoted bytes sum
/// up to its complement.
#[inline(always)]
pub fn write_too_big<F: TooBig>(
    mut frame: Cursor<'_>,
    mtu: u16,
    partial: Option<u16>,
) -> Result<(), Unparsed> {
    let eth = frame.take::<Eth>().ok_or(Unparsed::Short)?;
    let ip = frame.take::<F::Header>().ok_or(Unparsed::Short)?;
    let icmp = frame.take::<IcmpError>().ok_or(Unparsed::Short)?;
    let original = frame.take::<F::Header>().ok_or(Unparsed::Short)?;

    let mut sum = Notice::too_big::<F>(mtu).write::<F>(eth, ip, icmp, original, QUOTED);
    if let Some(seed) = partial {
        sum = sum.plus(F::header_sum(original)).add16(!seed);
    } else {
        sum = original.sum(sum);
        let words = (QUOTED - size_of::<F::Header>()) / size_of::<Word>();
        let mut word = 0;
        while word < words {
            sum = sum.add32(frame.take::<Word>().ok_or(Unparsed::Short)?.0);
            word += 1;
        }
    }
    icmp.check.0 = sum.check();
    Ok(())
}
