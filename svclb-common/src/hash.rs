//! The hash by which flows find their slots: the same on every node.
//!
//! It is not secret: nodes have to agree on it without a word. Words are taken in host byte order, so that machines
//! of both byte orders agree.

use crate::{family::Address, key::FlowKey};

/// 2^64 divided by the golden ratio: the increment of splitmix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A hash in the making. Every step can be undone, so no two inputs of two words meet before the end.
#[derive(Clone, Copy, Debug)]
pub struct Hash(u64);

impl Hash {
    /// Nothing yet.
    #[inline(always)]
    pub fn new() -> Self {
        Self(STEP)
    }

    /// Adds a word.
    #[must_use]
    #[inline(always)]
    pub fn word(self, word: u32) -> Self {
        let mixed = (self.0 ^ u64::from(word)).wrapping_mul(STEP);
        Self(mixed ^ mixed >> 32)
    }

    /// Adds an address.
    #[must_use]
    #[inline(always)]
    pub fn address<A: Address>(self, addr: &A) -> Self {
        addr.hash(self)
    }

    /// The upper half of what splitmix64 (Steele, Lea and Flood, 2014) makes of it.
    #[inline(always)]
    pub fn finish(self) -> u32 {
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

/// The hash of a client's address.
#[inline(always)]
pub fn of_client<A: Address>(client: &A) -> u32 {
    Hash::new().address(client).finish()
}

/// The hash of a packet's tuple: both addresses, both ports, the protocol. The hook does not count: nodes that see
/// the flow elsewhere choose alike.
#[inline(always)]
pub fn of_flow<A: Address>(key: &FlowKey<A>) -> u32 {
    let ports = u32::from(u16::from_be(key.sport)) << 16 | u32::from(u16::from_be(key.dport));
    Hash::new().address(&key.src).address(&key.dst).word(ports).word(key.proto.into()).finish()
}
