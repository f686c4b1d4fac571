//! The slots that a plan takes, on top of those that are free already.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::ranges::{Ranges, Tick};

/// A run of slots that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// First slot.
    pub(super) base: u32,
    len: u32,
    tick: Tick,
}

/// Free slots while a plan is made. The free slots of the tables are many and stay as they are; what differs
/// is kept beside them.
#[derive(Clone, Debug)]
pub(super) struct Draft<'a> {
    found: Cow<'a, Ranges>,
    /// First slots of ranges in `found` that are free no more.
    gone: BTreeSet<u32>,
    /// By size: all ranges in `found` before this one are gone.
    passed: BTreeMap<u32, (Tick, u32)>,
    /// What is left of them.
    rest: Ranges,
}

impl<'a> Draft<'a> {
    pub(super) fn new(found: &'a Ranges) -> Self {
        Self {
            found: Cow::Borrowed(found),
            gone: BTreeSet::new(),
            passed: BTreeMap::new(),
            rest: Ranges::none(),
        }
    }

    /// Takes `len` slots below `limit`: of the range given up longest ago that is long enough or, if there is
    /// none, of neighbours together, for which all ranges are looked at.
    pub(super) fn allocate(&mut self, len: u32, limit: u32) -> Option<Taken> {
        self.allocate_oldest(len, limit).or_else(|| self.allocate_joined(len, limit))
    }

    /// Takes back what [`allocate`](Self::allocate) gave.
    pub(super) fn put_back(&mut self, taken: Taken) {
        self.rest.insert(taken.base, taken.len, taken.tick);
    }

    fn allocate_oldest(&mut self, len: u32, limit: u32) -> Option<Taken> {
        let passed = |size| self.passed.get(&size).copied().unwrap_or_default();
        let found = self.found.oldest(len, limit, passed, |base| self.gone.contains(&base));
        let rest = self.rest.oldest(len, limit, |_| (0, 0), |_| false);
        let (tick, base) = found.into_iter().chain(rest).min()?;
        let (length, _) =
            if found == Some((tick, base)) { self.leave(base)? } else { self.rest.remove(base)? };
        self.rest.insert(base + len, length - len, tick);
        Some(Taken { base, len, tick })
    }

    /// Notes that a range of `found` is free no more.
    fn leave(&mut self, base: u32) -> Option<(u32, Tick)> {
        let (length, tick) = self.found.get(base)?;
        let size = length.ilog2();
        let passed = self.passed.entry(size).or_default();
        if self.found.of_size(size, *passed).next() == Some((tick, base)) {
            *passed = (tick, base + 1);
        }
        self.gone.insert(base);
        Some((length, tick))
    }

    fn allocate_joined(&mut self, len: u32, limit: u32) -> Option<Taken> {
        let mut all = Ranges::none();
        let found = self.found.iter().filter(|(base, ..)| !self.gone.contains(base));
        for (base, len, tick) in found.chain(self.rest.iter()) {
            all.insert(base, len, tick);
        }
        let (tick, base) = all.oldest_joined(len, limit)?;
        all.take(base, len);
        self.found = Cow::Owned(all);
        self.gone.clear();
        self.passed.clear();
        self.rest = Ranges::none();
        Some(Taken { base, len, tick })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allocates, and notes that in the tables as well.
    fn allocate(ranges: &mut Ranges, len: u32, limit: u32) -> Option<u32> {
        let base = Draft::new(ranges).allocate(len, limit)?.base;
        assert!(ranges.take(base, len));
        Some(base)
    }

    #[test]
    fn never_used_slots_come_first_then_the_ones_freed_longest_ago() {
        let mut ranges = Ranges::default();
        assert_eq!([4, 4, 4].map(|len| allocate(&mut ranges, len, 16)), [Some(0), Some(4), Some(8)]);
        ranges.give_up(4, 4);
        ranges.give_up(0, 4);
        assert_eq!([4, 4, 4].map(|len| allocate(&mut ranges, len, 16)), [Some(12), Some(4), Some(0)]);
        assert_eq!(allocate(&mut ranges, 1, 16), None);
    }

    #[test]
    fn neighbours_are_joined_when_nothing_else_is_long_enough() {
        let mut ranges = Ranges::default();
        for _ in 0..4 {
            allocate(&mut ranges, 4, 16);
        }
        for base in [8, 0, 4] {
            ranges.give_up(base, 4);
        }
        assert_eq!(allocate(&mut ranges, 10, 16), Some(0));
        assert_eq!(allocate(&mut ranges, 2, 16), Some(10));
        assert_eq!(allocate(&mut ranges, 1, 16), None);
    }

    #[test]
    fn one_draft_takes_what_drafts_one_by_one_would() {
        let mut ranges = Ranges::default();
        for len in [4, 8, 4, 16, 4, 4] {
            allocate(&mut ranges, len, 64);
        }
        for (base, len) in [(12, 4), (4, 8), (36, 4), (0, 4)] {
            ranges.give_up(base, len);
        }
        let found = ranges.clone();
        let mut draft = Draft::new(&found);
        let wanted = [8, 4, 4, 16, 8, 4, 4, 1];
        let at_once = wanted.map(|len| draft.allocate(len, 48).map(|taken| taken.base));
        assert_eq!(at_once, wanted.map(|len| allocate(&mut ranges, len, 48)));
    }

    #[test]
    fn what_is_put_back_is_free_again() {
        let ranges = Ranges::default();
        let mut draft = Draft::new(&ranges);
        let taken = draft.allocate(8, 8).unwrap();
        assert_eq!(draft.allocate(4, 8), None);
        draft.put_back(taken);
        assert_eq!(draft.allocate(8, 8), Some(taken));
    }
}
