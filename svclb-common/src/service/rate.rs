//! How many new flows a second a service takes, as a number in its policy, and who takes a turn of them.
//!
//! A cell has one word: until when its new flows are spoken for. Each one moves it on by its share of a second. Who
//! would move it more than a second ahead of the clock is turned away and writes nothing, so a flood costs its CPUs
//! no shared cache line. (The virtual scheduling of ATM Forum TM 4.0, section 4.5, with a burst of one second.)

use super::Policy;

/// Where in [`Policy::flags`] the number is: above the algorithm's.
const SHIFT: u32 = 12;

/// Most new flows a second that a policy can say.
pub const MAX_RATE: u32 = u32::MAX >> SHIFT;

/// A second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// What a new flow does to its cell's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing: it is turned away.
    None,
    /// Becomes this: nobody was ahead of it.
    First(u64),
    /// Grows by this. Flows that do so at the same time each count.
    Next(u64),
}

/// The turn of a new flow at `now` in nanoseconds, where a cell's new flows are spoken for until `due` and `rate` of
/// them, not zero, may come in a second. A second's worth may come at once after a rest of a second.
#[inline(always)]
pub fn turn(due: u64, now: u64, rate: u32) -> Turn {
    let share = SECOND / u64::from(rate.max(1));
    if due <= now {
        Turn::First(now.wrapping_add(share))
    } else if due.wrapping_sub(now).wrapping_add(share) <= SECOND {
        Turn::Next(share)
    } else {
        Turn::None
    }
}

impl Policy {
    /// New flows a second on this node; 0 is any number.
    #[inline(always)]
    pub fn rate(self) -> u32 {
        self.flags >> SHIFT
    }

    /// A rate as part of [`Policy::flags`]; what no policy can say is the most it can.
    #[inline(always)]
    pub const fn rate_flags(rate: u32) -> u32 {
        (if rate > MAX_RATE { MAX_RATE } else { rate }) << SHIFT
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::service::Algorithm;

    /// Asks at each of these times in turn; returns who was taken.
    fn taken(rate: u32, times: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut due = 0;
        let mut taken = Vec::new();
        for now in times {
            match turn(due, now, rate) {
                Turn::None => continue,
                Turn::First(word) => due = word,
                Turn::Next(share) => due += share,
            }
            taken.push(now);
        }
        taken
    }

    #[test]
    fn a_second_s_worth_comes_at_once_and_then_one_after_the_other() {
        for (rate, at_once) in [(1, 1), (2, 2), (3, 3), (10, 10), (1000, 1000), (MAX_RATE, 1_049_317)] {
            let start = 5 * SECOND;
            let crowd = taken(rate, (0..at_once + 50).map(|_| start));
            assert_eq!(crowd.len(), at_once, "{rate}");
        }
        let rest = |n| 5 * SECOND + n * SECOND / 10;
        assert_eq!(taken(2, (0..=20).map(rest)), [0, 1, 5, 10, 15, 20].map(rest));
    }

    #[test]
    fn a_rate_lives_beside_the_algorithm() {
        for rate in [0, 1, 7, MAX_RATE] {
            let policy =
                Policy { flags: 31 | Algorithm::SourceHash.flags() | Policy::rate_flags(rate), affinity: 9 };
            assert_eq!((policy.rate(), policy.algorithm()), (rate, Algorithm::SourceHash));
        }
        assert_eq!(Policy { flags: Policy::rate_flags(u32::MAX), affinity: 0 }.rate(), MAX_RATE);
    }

    proptest! {
        /// However they come: within any time no more than the rate says, and one second's worth; and whoever comes
        /// when less has been taken is.
        #[test]
        fn no_more_than_the_rate_says(rate in 1u32..2000, gaps in prop::collection::vec(0u64..SECOND / 50, 1..400)) {
            let times: Vec<_> = gaps.iter().scan(SECOND, |now, gap| { *now += gap; Some(*now) }).collect();
            let taken = taken(rate, times.iter().copied());
            let share = SECOND / u64::from(rate);
            for (n, first) in taken.iter().enumerate() {
                for (m, last) in taken.iter().enumerate().skip(n) {
                    prop_assert!((m - n) as u64 * share <= last - first + SECOND);
                }
            }
            prop_assert!(taken.len() as u64 >= times.len().min(rate as usize) as u64);
        }
    }
}
