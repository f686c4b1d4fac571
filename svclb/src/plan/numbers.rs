//! Numbers of cells: which are in use, and which to give out next.

use std::{
    collections::{BTreeMap, btree_map},
    iter::{Copied, ExactSizeIterator},
    ops::Range,
};

/// When a number was given up.
type Tick = u64;

/// The free numbers of a table. 0 is never one of them.
///
/// A program may have read a number just before it was given up, so numbers are given out as late as
/// possible: first the ones never used, then the one given up longest ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// All from here on were never used.
    fresh: u32,
    /// In the order of being given up.
    freed: BTreeMap<Tick, u32>,
    /// The other direction of `freed`.
    since: BTreeMap<u32, Tick>,
    now: Tick,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { fresh: 1, freed: BTreeMap::new(), since: BTreeMap::new(), now: 0 }
    }
}

impl Numbers {
    /// Marks `number` as used.
    pub(super) fn take(&mut self, number: u32) {
        if number >= self.fresh {
            for skipped in self.fresh..number {
                self.give_up(skipped);
            }
            self.fresh = number + 1;
        } else if let Some(tick) = self.since.remove(&number) {
            self.freed.remove(&tick);
        }
    }

    /// Marks `number`, which was in use, as free.
    pub(super) fn give_up(&mut self, number: u32) {
        self.now += 1;
        if let Some(before) = self.since.insert(number, self.now) {
            self.freed.remove(&before);
        }
        self.freed.insert(self.now, number);
    }

    /// The free numbers below `limit` in the order in which to give them out.
    pub(super) fn offers(&self, limit: u32) -> Offers<'_> {
        Offers { fresh: self.fresh..limit.max(self.fresh), freed: self.freed.values().copied() }
    }
}

/// Free numbers in the order in which to give them out.
#[derive(Clone, Debug)]
pub(super) struct Offers<'a> {
    fresh: Range<u32>,
    freed: Copied<btree_map::Values<'a, Tick, u32>>,
}

impl Offers<'_> {
    /// The number that comes next.
    pub(super) fn peek(&self) -> Option<u32> {
        self.clone().next()
    }
}

impl Iterator for Offers<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.fresh.next().or_else(|| self.freed.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.fresh.len() + self.freed.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Offers<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_used_numbers_come_first_then_the_one_freed_longest_ago() {
        let mut numbers = Numbers::default();
        for number in 1..=4 {
            numbers.take(number);
        }
        numbers.give_up(3);
        numbers.give_up(1);
        assert_eq!(numbers.offers(7).collect::<Vec<_>>(), [5, 6, 3, 1]);
        assert_eq!(numbers.offers(5).len(), 2);
        numbers.take(3);
        assert_eq!(numbers.offers(5).collect::<Vec<_>>(), [1]);
        assert_eq!(numbers.offers(5).peek(), Some(1));
    }

    #[test]
    fn numbers_skipped_over_stay_free() {
        let mut numbers = Numbers::default();
        numbers.take(3);
        assert_eq!(numbers.offers(5).collect::<Vec<_>>(), [4, 1, 2]);
    }
}
