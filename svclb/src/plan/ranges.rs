//! Ranges of slots: which are free, and which to give out next.

use std::collections::BTreeMap;

/// When a range was given up; 0 is never.
type Tick = u64;

/// The free slots.
///
/// As with [`Numbers`](super::numbers::Numbers), a range is given out as late as possible. Neighbours stay
/// apart as long as they were given up at different times, and are joined when nothing else is long enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges {
    /// First slot to length and time.
    free: BTreeMap<u32, (u32, Tick)>,
    now: Tick,
}

impl Default for Ranges {
    fn default() -> Self {
        Self { free: BTreeMap::from([(0, (u32::MAX, 0))]), now: 0 }
    }
}

impl Ranges {
    /// Marks `len` slots from `base` on as used. Returns whether all of them were free.
    pub(super) fn take(&mut self, base: u32, len: u32) -> bool {
        let Some(end) = base.checked_add(len) else { return false };
        if !self.is_free(base, end) {
            return false;
        }
        let before = self.free.range(..base).next_back().map(|(&start, &range)| (start, range));
        let within: Vec<_> = self.free.range(base..end).map(|(&start, &range)| (start, range)).collect();
        for (start, (length, tick)) in before.into_iter().chain(within) {
            if start + length <= base {
                continue;
            }
            self.free.remove(&start);
            if start < base {
                self.free.insert(start, (base - start, tick));
            }
            if start + length > end {
                self.free.insert(end, (start + length - end, tick));
            }
        }
        true
    }

    /// Marks `len` slots from `base` on, which were in use, as free.
    pub(super) fn give_up(&mut self, base: u32, len: u32) {
        if len > 0 {
            self.now += 1;
            self.free.insert(base, (len, self.now));
        }
    }

    /// Takes `len` slots below `limit`.
    pub(super) fn allocate(&mut self, len: u32, limit: u32) -> Option<u32> {
        let base = self.oldest(len, limit).or_else(|| self.oldest_joined(len, limit))?;
        self.take(base, len).then_some(base)
    }

    /// Whether `len` slots from `base` on are free.
    pub(super) fn has(&self, base: u32, len: u32) -> bool {
        base.checked_add(len).is_some_and(|end| self.is_free(base, end))
    }

    fn is_free(&self, base: u32, end: u32) -> bool {
        let mut reached = base;
        while reached < end {
            match self.free.range(..=reached).next_back() {
                Some((&start, &(length, _))) if start + length > reached => reached = start + length,
                _ => return false,
            }
        }
        true
    }

    /// The base of the range given up longest ago that is long enough.
    fn oldest(&self, len: u32, limit: u32) -> Option<u32> {
        self.free
            .iter()
            .filter(|&(&base, &(length, _))| length.min(limit.saturating_sub(base)) >= len)
            .min_by_key(|&(&base, &(_, tick))| (tick, base))
            .map(|(&base, _)| base)
    }

    /// The same over whole runs of neighbours; a run is as old as its youngest range.
    fn oldest_joined(&self, len: u32, limit: u32) -> Option<u32> {
        let mut best: Option<(Tick, u32)> = None;
        let (mut base, mut end, mut youngest) = (0, 0, 0);
        for (&start, &(length, tick)) in self.free.range(..limit) {
            if start == end {
                youngest = tick.max(youngest);
            } else {
                (base, youngest) = (start, tick);
            }
            end = start + length;
            if end.min(limit) - base >= len {
                best = Some(best.map_or((youngest, base), |best| best.min((youngest, base))));
            }
        }
        best.map(|(_, base)| base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_used_slots_come_first_then_the_ones_freed_longest_ago() {
        let mut ranges = Ranges::default();
        assert_eq!([4, 4, 4].map(|len| ranges.allocate(len, 16)), [Some(0), Some(4), Some(8)]);
        ranges.give_up(4, 4);
        ranges.give_up(0, 4);
        assert_eq!([4, 4, 4].map(|len| ranges.allocate(len, 16)), [Some(12), Some(4), Some(0)]);
        assert_eq!(ranges.allocate(1, 16), None);
    }

    #[test]
    fn neighbours_are_joined_when_nothing_else_is_long_enough() {
        let mut ranges = Ranges::default();
        for _ in 0..4 {
            ranges.allocate(4, 16);
        }
        for base in [8, 0, 4] {
            ranges.give_up(base, 4);
        }
        assert_eq!(ranges.allocate(10, 16), Some(0));
        assert_eq!(ranges.allocate(2, 16), Some(10));
        assert_eq!(ranges.allocate(1, 16), None);
    }

    #[test]
    fn a_range_is_taken_once() {
        let mut ranges = Ranges::default();
        assert!(ranges.take(8, 8));
        assert!(!ranges.take(4, 8));
        assert!(!ranges.take(15, 1));
        assert!(ranges.take(4, 4) && ranges.take(16, 4));
        assert!(!ranges.take(u32::MAX, 2));
    }
}
