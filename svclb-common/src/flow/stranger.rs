//! Tuples that were found to be nobody's a moment ago.
//!
//! Most packets of a node have nothing to do with Services, and to find that out takes several lookups.
//! What was found counts for the rest of a jiffy: the packets of a connection that come in bursts are
//! asked about once, and what changes meanwhile is noticed before anybody sends again.

use crate::{family::Address, key::FlowKey};

/// Places for tuples, of each CPU.
pub const STRANGERS: u32 = 1024;

/// A tuple that is nobody's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stranger<A> {
    key: FlowKey<A>,
    /// The jiffy in which it was found.
    jiffy: u64,
}

impl<A: Address> Stranger<A> {
    /// What was found of `key`.
    #[inline(always)]
    pub fn new(key: FlowKey<A>, jiffy: u64) -> Self {
        Self { key, jiffy }
    }

    /// Whether `key` was found to be nobody's in this jiffy.
    #[inline(always)]
    pub fn is(&self, key: &FlowKey<A>, jiffy: u64) -> bool {
        self.jiffy == jiffy && self.key == *key
    }

    /// Whether it is about `key`.
    #[inline(always)]
    pub fn is_about(&self, key: &FlowKey<A>) -> bool {
        self.key == *key
    }

    /// Forgets it. No jiffy has this number for as long as a kernel runs.
    #[inline(always)]
    pub fn forget(&mut self) {
        self.jiffy = 0;
    }
}

/// The place of a tuple.
#[inline(always)]
pub fn place<A: Address>(key: &FlowKey<A>) -> u32 {
    (key.spread() >> 54) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{Addr4, Addr6};

    fn key(port: u16) -> FlowKey<Addr4> {
        FlowKey { src: Addr4(1), dst: Addr4(2), sport: port, dport: 4, proto: 6, hook: 0, pad: 0 }
    }

    #[test]
    fn what_was_found_counts_for_its_tuple_and_its_jiffy() {
        let mut stranger = Stranger::new(key(3), 7);
        assert!(stranger.is(&key(3), 7));
        assert!(!stranger.is(&key(3), 8) && !stranger.is(&key(4), 7));
        assert!(!stranger.is(&FlowKey { hook: 1, ..key(3) }, 7));
        stranger.forget();
        assert!(!stranger.is(&key(3), 7));
    }

    #[test]
    fn tuples_spread_over_all_places() {
        let mut taken = [0_u32; STRANGERS as usize];
        for port in 0..4096 {
            taken[place(&key(port)) as usize] += 1;
            let long = FlowKey {
                src: Addr6([1, 2, 3, u32::from(port)]),
                dst: Addr6([5, 6, 7, 8]),
                sport: 1,
                dport: 2,
                proto: 6,
                hook: 0,
                pad: 0,
            };
            taken[place(&long) as usize] += 1;
        }
        assert!(taken.iter().filter(|count| **count == 0).count() < 20, "8 tuples to each place");
        assert!(taken.iter().all(|count| *count < 40));
    }
}
