//! Numbers of cells: which are in use, and which to give out next.

use std::{
    collections::{VecDeque, vec_deque},
    iter::{Copied, ExactSizeIterator},
    ops::Range,
};

/// The free numbers of a table. 0 is never one of them.
///
/// A program may have read a number just before it was given up, so numbers are given out as late as
/// possible: first the ones never used, then the one given up longest ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// All from here on were never used.
    fresh: u32,
    /// In the order of being given up.
    freed: VecDeque<u32>,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { fresh: 1, freed: VecDeque::new() }
    }
}

impl Numbers {
    /// Marks `number` as used.
    pub(super) fn take(&mut self, number: u32) {
        if number >= self.fresh {
            self.freed.extend(self.fresh..number);
            self.fresh = number + 1;
        } else if let Some(at) = self.freed.iter().position(|&freed| freed == number) {
            self.freed.remove(at);
        }
    }

    /// Marks `number`, which was in use, as free.
    pub(super) fn give_up(&mut self, number: u32) {
        self.freed.push_back(number);
    }

    /// The free numbers below `limit` in the order in which to give them out.
    pub(super) fn offers(&self, limit: u32) -> Offers<'_> {
        Offers { fresh: self.fresh..limit.max(self.fresh), freed: self.freed.iter().copied() }
    }
}

/// Free numbers in the order in which to give them out.
#[derive(Clone, Debug)]
pub(super) struct Offers<'a> {
    fresh: Range<u32>,
    freed: Copied<vec_deque::Iter<'a, u32>>,
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
    }

    #[test]
    fn numbers_skipped_over_stay_free() {
        let mut numbers = Numbers::default();
        numbers.take(3);
        assert_eq!(numbers.offers(5).collect::<Vec<_>>(), [4, 1, 2]);
    }
}
