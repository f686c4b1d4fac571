//! How a service chooses a backend for a new flow, as a number in its policy.

use super::Policy;

/// How a service chooses a backend for a new flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Algorithm {
    /// A random slot. Backends that weigh more have more slots.
    #[default]
    Random = 0,
    /// One slot after the other, in the order in which they lie.
    RoundRobin = 1,
    /// Of the backends in two random slots the one with fewer flows, in relation to its weight.
    LeastConn = 2,
    /// By a hash of the flow's tuple; the slots are a Maglev table.
    Maglev = 3,
    /// By a hash of the client's address; the slots are a Maglev table.
    SourceHash = 4,
}

/// Where in [`Policy::flags`] the number is.
const SHIFT: u32 = 8;
/// The bits that it has there.
const MASK: u32 = 0xf << SHIFT;

impl Algorithm {
    /// Each algorithm once.
    pub const EACH: [Self; 5] =
        [Self::Random, Self::RoundRobin, Self::LeastConn, Self::Maglev, Self::SourceHash];

    /// As part of [`Policy::flags`].
    #[inline(always)]
    pub const fn flags(self) -> u32 {
        (self as u32) << SHIFT
    }
}

impl Policy {
    /// How backends are chosen. A number that no algorithm has is [`Algorithm::Random`].
    pub fn algorithm(self) -> Algorithm {
        Algorithm::EACH.into_iter().find(|algorithm| self.chooses_by(*algorithm)).unwrap_or_default()
    }

    /// Whether backends are chosen so.
    #[inline(always)]
    pub fn chooses_by(self, algorithm: Algorithm) -> bool {
        self.flags & MASK == algorithm.flags()
    }
}
