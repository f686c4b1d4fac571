//! Searches for a free source port, and what is remembered of them.

use crate::{family::Address, key::spread};

/// Whom a source port is unique towards: key of the memory of searches.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortsKey<A> {
    /// The address that flows get as their source.
    pub src: A,
    /// The backend's address.
    pub dst: A,
    /// The backend's port, network byte order.
    pub port: u16,
    /// IANA protocol number.
    pub proto: u8,
    /// Zero.
    pub pad: u8,
}

/// Places for signs that a search has ever found nothing: where there is none, nothing is remembered.
pub const SIGNS: u32 = 1024;

impl<A: Address> PortsKey<A> {
    /// The place of its sign, which others may share.
    #[inline(always)]
    pub fn place(&self) -> u32 {
        (spread(self.dst.mix() ^ u32::from(self.port)) >> 54) as u32
    }
}

/// What is remembered of a search that found nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct PortsMemory {
    /// Until when nobody looks again, `CLOCK_MONOTONIC_COARSE` in nanoseconds; 0 if the search goes on.
    pub until: u64,
    /// The order in which it goes.
    pub order: Order,
    /// How far it came.
    pub at: u32,
}

/// An order of all numbers below a power of two: each is visited once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Order {
    /// The first one.
    pub start: u16,
    /// From one to the next; odd, so that it has no divisor in common with the power of two.
    pub stride: u16,
}

impl Order {
    /// The order that a random number stands for.
    #[inline(always)]
    pub fn of(random: u32) -> Self {
        Self { start: (random >> 16) as u16, stride: random as u16 | 1 }
    }

    /// Number `at` of the order, below `mask + 1`, which is a power of two.
    #[inline(always)]
    pub fn visit(self, at: u32, mask: u32) -> u32 {
        u32::from(self.start).wrapping_add(u32::from(self.stride).wrapping_mul(at)) & mask
    }
}

/// For how long a search of so many ports is not repeated once it found none, in nanoseconds: a
/// second for the usual range. A search is a few lookups a port, so that a flood to a backend
/// without a free port does not search all the time.
#[inline(always)]
pub fn patience(ports: u32) -> u64 {
    u64::from(ports) << 15
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::family::{Addr4, Addr6};

    #[test]
    fn layouts_have_no_padding() {
        assert_eq!(size_of::<PortsKey<Addr4>>(), 12);
        assert_eq!(size_of::<PortsKey<Addr6>>(), 36);
        assert_eq!(size_of::<PortsMemory>(), 16);
    }

    #[test]
    fn each_key_has_a_place() {
        let key = |dst, port| PortsKey { src: Addr4(1), dst: Addr4(dst), port, proto: 6, pad: 0 };
        let places: BTreeSet<_> = (0..64).map(|dst: u32| key(dst.to_be(), 80).place()).collect();
        assert!(places.len() > 48, "backends beside each other have places of their own: {}", places.len());
        assert!(places.iter().all(|place| *place < SIGNS));
        assert_ne!(key(1, 80).place(), key(1, 81).place());
    }

    #[test]
    fn the_usual_range_is_left_alone_for_a_second() {
        let (min, max) = crate::config::SNAT_PORTS;
        let nanoseconds = patience(u32::from(max - min) + 1);
        assert!((900_000_000..1_000_000_000).contains(&nanoseconds));
    }

    proptest! {
        #[test]
        fn an_order_visits_every_number_once(random: u32, bits in 0_u32..13) {
            let mask = (1 << bits) - 1;
            let order = Order::of(random);
            let visited: BTreeSet<_> = (0..=mask).map(|at| order.visit(at, mask)).collect();
            prop_assert_eq!(visited.len(), 1 << bits);
            prop_assert!(visited.iter().all(|number| *number <= mask));
        }
    }
}
