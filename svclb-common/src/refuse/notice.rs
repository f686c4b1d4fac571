//! ICMP errors that this node sends: what each says.

use super::{pseudo_header, swap_macs};
use crate::{
    checksum::Sum,
    family::{Address, Family, IpHeader as _},
    refuse::TooBig,
    wire::{Check, Eth, IcmpError},
};

/// An ICMP error that this node sends about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice<'a, A> {
    kind: u8,
    code: u8,
    /// What stands behind the checksum, host byte order: the size that passes, for one.
    rest: u32,
    /// Who says so; else it is whom the packet is to.
    from: Option<&'a A>,
}

impl<'a, A: Address> Notice<'a, A> {
    /// Nobody serves there.
    #[inline(always)]
    pub fn unreachable<F: Family<Addr = A>>() -> Self {
        let (kind, code) = F::PORT_UNREACHABLE;
        Self { kind, code, rest: 0, from: None }
    }

    /// The packet ends here, at the router `from` (RFC 1812 section 4.3.2.4: the router's own address).
    #[inline(always)]
    pub fn time_exceeded<F: Family<Addr = A>>(from: Option<&'a A>) -> Self {
        let (kind, code) = F::TIME_EXCEEDED;
        Self { kind, code, rest: 0, from }
    }

    /// `mtu` bytes would have been carried.
    #[inline(always)]
    pub fn too_big<F: TooBig<Addr = A>>(mtu: u16) -> Self {
        let (kind, code) = F::TOO_BIG;
        Self { kind, code, rest: mtu.into(), from: None }
    }

    /// Writes all headers of the message about `original`, of which `quoted` bytes stand behind them, and
    /// returns the sum of what the message's checksum covers so far.
    #[inline(always)]
    pub(super) fn write<F: Family<Addr = A>>(
        self,
        eth: &mut Eth,
        ip: &mut F::Header,
        icmp: &mut IcmpError,
        original: &F::Header,
        quoted: usize,
    ) -> Sum {
        let Self { kind, code, rest, from } = self;
        let rest = rest.to_be();
        swap_macs(eth);
        let payload = (size_of::<IcmpError>() + quoted) as u16;
        *ip = F::Header::answering(original, F::ICMP, payload);
        if let Some(from) = from {
            let delta = ip.src().change(*from, Sum::default()).fold();
            ip.set_addresses(*from, ip.dst(), delta);
        }
        *icmp = IcmpError { kind, code, check: Check(0), rest };
        let sum = Sum::default().add16(u16::from_ne_bytes([kind, code])).add32(rest);
        if F::ICMP_PSEUDO_HEADER { sum.plus(pseudo_header::<F>(ip, F::ICMP, payload)) } else { sum }
    }
}
