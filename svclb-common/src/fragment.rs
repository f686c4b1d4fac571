//! What the fragments of a datagram have in common, and what only the first one tells.

use crate::{family::Family, key::FlowKey, outline::Outline};

/// Key of the datagrams that come in fragments, as RFC 791 and RFC 8200 section 4.5
/// identify them.
///
/// Aligned to 8 for the same reason as [`FlowKey`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentKey<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Identification, network byte order; IPv4's in 16 bits.
    pub id: u32,
    /// IANA number of the transport for IPv4; 0 for IPv6, whose fragments may differ there.
    pub proto: u8,
    /// [`Hook`](crate::key::Hook).
    pub hook: u8,
    /// Zero.
    pub pad: u16,
}

impl<A: Copy> FragmentKey<A> {
    /// The key of the datagram that a packet of `flow` is a fragment of; ports do not count.
    #[inline(always)]
    pub fn new<F: Family<Addr = A>>(flow: &FlowKey<A>, outline: Outline) -> Self {
        let FlowKey { src, dst, hook, .. } = *flow;
        let proto = if F::PROTOCOL_IDENTIFIES { outline.proto } else { 0 };
        Self { src, dst, id: outline.id, proto, hook, pad: 0 }
    }
}

/// What the first fragment tells of those that follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHead {
    /// When it came: `CLOCK_MONOTONIC_COARSE` in nanoseconds.
    pub seen: u64,
    /// Source port, network byte order.
    pub sport: u16,
    /// Destination port, network byte order.
    pub dport: u16,
    /// IANA number of the transport.
    pub proto: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{Addr4, Addr6};

    #[test]
    fn keys_and_values_have_no_padding() {
        assert_eq!(size_of::<FragmentKey<Addr4>>(), 4 + 4 + 4 + 1 + 1 + 2);
        assert_eq!(size_of::<FragmentKey<Addr6>>(), 16 + 16 + 4 + 1 + 1 + 2);
        assert_eq!(size_of::<FragmentHead>(), 8 + 2 + 2 + 4);
    }
}
