//! Ranges of slots: which are free, and which to give out next.

use std::collections::{BTreeMap, BTreeSet};

use super::visits::visit;

/// When a range was given up; 0 is never.
pub(super) type Tick = u64;

/// The free slots.
///
/// As with [`Numbers`](super::numbers::Numbers), a range is given out as late as possible. Neighbours stay
/// apart as long as they were given up at different times, and are joined when nothing else is long enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges {
    /// First slot to length and time.
    free: BTreeMap<u32, (u32, Tick)>,
    /// The same by size (`ilog2` of the length), time and first slot. What is asked for is a power of two, so
    /// the first of a size is long enough, and nobody looks at the rest.
    by_age: BTreeSet<(u32, Tick, u32)>,
    now: Tick,
}

impl Default for Ranges {
    fn default() -> Self {
        let mut ranges = Self::none();
        ranges.insert(0, u32::MAX, 0);
        ranges
    }
}

impl Ranges {
    /// No free slot at all.
    pub(super) fn none() -> Self {
        Self { free: BTreeMap::new(), by_age: BTreeSet::new(), now: 0 }
    }

    /// Adds a free range, apart from its neighbours.
    pub(super) fn insert(&mut self, base: u32, len: u32, tick: Tick) {
        if len > 0 {
            self.free.insert(base, (len, tick));
            self.by_age.insert((len.ilog2(), tick, base));
        }
    }

    /// Takes the free range that begins at `base` out.
    pub(super) fn remove(&mut self, base: u32) -> Option<(u32, Tick)> {
        let (len, tick) = self.free.remove(&base)?;
        self.by_age.remove(&(len.ilog2(), tick, base));
        Some((len, tick))
    }

    /// Marks `len` slots from `base` on as used. Returns whether all of them were free.
    pub(super) fn take(&mut self, base: u32, len: u32) -> bool {
        let Some(end) = base.checked_add(len) else { return false };
        if !self.is_free(base, end) {
            return false;
        }
        let before = self.free.range(..base).next_back().map(|(&start, _)| start);
        let within: Vec<_> = self.free.range(base..end).map(|(&start, _)| start).collect();
        for start in before.into_iter().chain(within) {
            let Some(&(length, _)) = self.free.get(&start).filter(|(length, _)| start + length > base) else {
                continue;
            };
            if let Some((_, tick)) = self.remove(start) {
                self.insert(start, base.saturating_sub(start), tick);
                self.insert(end, (start + length).saturating_sub(end), tick);
            }
        }
        true
    }

    /// Marks `len` slots from `base` on, which were in use, as free.
    pub(super) fn give_up(&mut self, base: u32, len: u32) {
        if len > 0 {
            self.now += 1;
            self.insert(base, len, self.now);
        }
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

    /// The free range that begins at `base`: length and time.
    pub(super) fn get(&self, base: u32) -> Option<(u32, Tick)> {
        self.free.get(&base).copied()
    }

    /// Age and base of the range given up longest ago that holds `len` slots below `limit`. Passed over are
    /// ranges that are `gone` and, of each size, those before `from`.
    pub(super) fn oldest(
        &self,
        len: u32,
        limit: u32,
        from: impl Fn(u32) -> (Tick, u32),
        gone: impl Fn(u32) -> bool,
    ) -> Option<(Tick, u32)> {
        let fits = |&(_, base): &(Tick, u32)| {
            visit(1);
            let length = self.free.get(&base).map_or(0, |range| range.0);
            !gone(base) && length.min(limit.saturating_sub(base)) >= len
        };
        let oldest_of = |size| self.of_size(size, from(size)).find(&fits);
        (len.checked_ilog2().unwrap_or(0)..u32::BITS).filter_map(oldest_of).min()
    }

    /// The same over whole runs of neighbours, by a look at all; a run is as old as its youngest range.
    pub(super) fn oldest_joined(&self, len: u32, limit: u32) -> Option<(Tick, u32)> {
        let mut best: Option<(Tick, u32)> = None;
        let (mut base, mut end, mut youngest) = (0, 0, 0);
        for (&start, &(length, tick)) in self.free.range(..limit) {
            visit(1);
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
        best
    }

    /// Every free range: first slot, length, time.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32, Tick)> {
        self.free.iter().map(|(&base, &(len, tick))| (base, len, tick))
    }

    /// Time and first slot of every free range of `size`, from `from` on.
    pub(super) fn of_size(&self, size: u32, from: (Tick, u32)) -> impl Iterator<Item = (Tick, u32)> {
        let ranges = self.by_age.range((size, from.0, from.1)..=(size, Tick::MAX, u32::MAX));
        ranges.map(|&(_, tick, base)| (tick, base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_taken_once() {
        let mut ranges = Ranges::default();
        assert!(ranges.take(8, 8));
        assert!(!ranges.take(4, 8));
        assert!(!ranges.take(15, 1));
        assert!(ranges.take(4, 4) && ranges.take(16, 4));
        assert!(!ranges.take(u32::MAX, 2));
        assert_eq!(
            ranges.iter().map(|(base, len, _)| (base, len)).collect::<Vec<_>>(),
            [(0, 4), (20, u32::MAX - 20)]
        );
    }
}
