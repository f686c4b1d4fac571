//! Which tuples may be in a flow table, and which are in none for certain: a Bloom filter of one hash that ages.
//!
//! Most connections of a node are no Service's, and to find that out of what begins or ends one takes a lookup in
//! each flow table, for each direction, twice where another CPU may move an entry between two looks. So whoever writes
//! an entry first leaves a mark in the place of its tuple, and whoever finds no mark there asks no table.
//!
//! Nobody wipes a mark away: a place belongs to many tuples, and tables forget by themselves. A mark is instead the
//! number of the *era* in which it was made. The agent's collector begins an era with each walk through the tables and
//! renews the mark of every entry that it meets; when it has met them all, marks of older eras mean nothing any
//! more. Those of the era before count for one walk longer, since a program may have read the number just before it
//! changed. While no agent runs nothing is lost: places fill up, and more packets ask the tables.

use crate::{cell::Word64, family::Address, key::FlowKey, line::Line};

/// Places for tuples: four for each entry that the table of established flows has room for by default.
pub const PLACES: u32 = 1 << 20;

/// The last era before the first one comes again. The one behind it would have the mark of a place without one.
const LAST: u8 = u8::MAX - 1;

/// Leaves the mark of a tuple in its place.
#[inline(always)]
pub fn note(line: &Line, place: u32, eras: Eras) {
    line.at(place).store(eras.mark());
}

/// Whether there is a mark that counts.
#[inline(always)]
pub fn may_hold(line: &Line, place: u32, eras: Eras) -> bool {
    eras.counts(line.at(place).load())
}

/// Ages of marks that are younger than the era of who asks: from this one on, four eras, of which one may be left out.
const AHEAD: u8 = u8::MAX - 3;

/// The place of a tuple.
#[inline(always)]
pub fn place<A: Address>(key: &FlowKey<A>) -> u32 {
    (key.spread() >> 44) as u32
}

/// The era, and how many before it count as well. The word of a map that the collector alone writes.
#[repr(transparent)]
#[derive(Debug)]
pub struct EraWord(Word64);

impl EraWord {
    /// A word that says so.
    pub const fn new(eras: Eras) -> Self {
        Self(Word64::new(eras.now as u64 | (eras.before as u64) << 8))
    }

    /// What counts now.
    #[inline(always)]
    pub fn read(&self) -> Eras {
        let word = self.0.load();
        Eras { now: word as u8, before: (word >> 8) as u8 }
    }

    /// As the map holds it.
    pub fn value(&self) -> u64 {
        self.0.load()
    }

    /// Says what counts from now on.
    pub fn write(&self, eras: Eras) {
        self.0.store(Self::new(eras).value());
    }
}

/// The era, and how many before it count as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eras {
    now: u8,
    before: u8,
}

impl Eras {
    /// Those of tables that no collector has walked through.
    pub const FIRST: Self = Self { now: 0, before: 0 };

    /// A walk begins, and with it an era. All marks that counted still do.
    #[must_use]
    pub fn walk(self) -> Self {
        let now = if self.now == LAST { 0 } else { self.now + 1 };
        Self { now, before: self.before.saturating_add(now.wrapping_sub(self.now)) }
    }

    /// The walk is over, and each entry that was there when it began has the mark of its era. Those of the one before
    /// count until the next walk is over: whoever made one then may not have written its entry yet.
    #[must_use]
    pub fn walked(self) -> Self {
        Self { before: self.now.wrapping_sub(if self.now == 0 { LAST } else { self.now - 1 }), ..self }
    }

    /// The mark of the era. None is zero, which is a place that nobody has marked.
    #[inline(always)]
    fn mark(self) -> u8 {
        !self.now
    }

    /// Whether a mark is of an era that counts. So do those of the next ones: who asks may have read the word just before
    /// it changed.
    #[inline(always)]
    fn counts(self, mark: u8) -> bool {
        let age = self.now.wrapping_sub(!mark);
        mark != 0 && (age <= self.before || age >= AHEAD)
    }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;
    use crate::family::Addr4;

    /// Eras after so many walks, each of which came to its end.
    fn after(walks: u32) -> Eras {
        (0..walks).fold(Eras::FIRST, |eras, _| eras.walk().walked())
    }

    #[test]
    fn a_place_without_a_mark_never_counts() {
        for walks in 0..600 {
            let line = Line::new();
            assert!(!may_hold(&line, 7, after(walks)) && !may_hold(&line, 7, after(walks).walk()), "{walks}");
            note(&line, 7, after(walks));
            assert!(may_hold(&line, 7, after(walks)) && !may_hold(&line, 8, after(walks)), "{walks}");
        }
    }

    #[test]
    fn a_mark_counts_until_the_second_walk_after_it_is_over() {
        for walks in 0..600 {
            let line = Line::new();
            let mut eras = after(walks);
            note(&line, 3, eras);
            eras = eras.walk();
            assert!(may_hold(&line, 3, eras));
            eras = eras.walked();
            assert!(
                may_hold(&line, 3, eras),
                "{walks}: its entry may not have been there for the walk to meet"
            );
            eras = eras.walk();
            assert!(may_hold(&line, 3, eras), "{walks}: the second walk may not have met it yet");
            assert!(!may_hold(&line, 3, eras.walked()), "{walks}");
        }
    }

    #[test]
    fn a_mark_counts_for_who_has_not_heard_of_its_era() {
        for walks in 0..600 {
            let line = Line::new();
            note(&line, 3, after(walks).walk());
            assert!(may_hold(&line, 3, after(walks)), "{walks}");
        }
    }

    /// What everybody does, step by step, in every order in which each does its own in turn: a writer leaves a mark and
    /// writes its entry, the collector walks twice, somebody asks for the entry once it is there.
    #[test]
    fn no_order_of_steps_hides_an_entry_that_is_there() {
        // Reads the word, leaves the mark, writes the entry; begins a walk, meets the entry, ends it, and again; reads the
        // word, reads the mark.
        const WRITER: u32 = 3;
        const COLLECTOR: u32 = 6;
        const READER: u32 = 2;
        for first in [0, 1, 252, 253, 254] {
            let mut orders = vec![(0, 0, 0, Vec::new())];
            let mut complete = 0;
            while let Some((writer, collector, reader, order)) = orders.pop() {
                let mut more = |who: &'static str, writer, collector, reader| {
                    let mut order: Vec<&str> = order.clone();
                    order.push(who);
                    orders.push((writer, collector, reader, order));
                };
                if writer < WRITER {
                    more("writer", writer + 1, collector, reader);
                }
                if collector < COLLECTOR {
                    more("collector", writer, collector + 1, reader);
                }
                // Nobody asks for what is not there yet.
                if writer == WRITER && reader < READER {
                    more("reader", writer, collector, reader + 1);
                }
                if (writer, collector, reader) == (WRITER, COLLECTOR, READER) {
                    complete += u32::from(is_found(first, &order));
                }
            }
            assert!(complete > 100, "{complete}");
        }
    }

    /// Plays an order of steps; whether it can be: a writer does not stand still for as long as a walk takes.
    fn is_found(first: u32, order: &[&str]) -> bool {
        let (line, word) = (Line::new(), EraWord::new(after(first)));
        let (mut writer, mut collector, mut reader) = (0, 0, 0);
        let (mut writes, mut reads) = (word.read(), word.read());
        let (mut is_there, mut met_meanwhile) = (false, 0);
        for who in order {
            match *who {
                "writer" => {
                    match writer {
                        0 => writes = word.read(),
                        1 => note(&line, 9, writes),
                        _ => is_there = true,
                    }
                    writer += 1;
                }
                "collector" => {
                    match collector % 3 {
                        0 => word.write(word.read().walk()),
                        1 if is_there => note(&line, 9, word.read()),
                        1 => met_meanwhile += u32::from(writer > 0),
                        _ => word.write(word.read().walked()),
                    }
                    collector += 1;
                }
                _ => {
                    match reader {
                        0 => reads = word.read(),
                        _ if met_meanwhile < 2 => assert!(may_hold(&line, 9, reads), "{first}: {order:?}"),
                        _ => return false,
                    }
                    reader += 1;
                }
            }
        }
        met_meanwhile < 2
    }

    #[test]
    fn places_are_part_of_the_layout() {
        let key = |src, dst| FlowKey { src, dst, sport: 0x1234, dport: 0x50, proto: 6, hook: 1, pad: 0 };
        // Other places are another LAYOUT_VERSION: pinned marks stand where they were made.
        assert_eq!(place(&key(Addr4(0x0a00_0001), Addr4(0x0a60_000a))), 401_623);
    }

    #[test]
    fn a_walk_that_fails_takes_nothing_away() {
        for failures in 0..600 {
            let line = Line::new();
            let mut eras = after(10);
            note(&line, 3, eras);
            for _ in 0..failures {
                eras = eras.walk();
                assert!(may_hold(&line, 3, eras), "{failures}");
            }
            note(&line, 3, eras);
            assert!(may_hold(&line, 3, eras.walked()), "{failures}");
        }
    }

    #[test]
    fn the_word_keeps_both() {
        let word = EraWord::new(Eras::FIRST);
        for walks in [1, 253, 254, 255, 256, 511] {
            for eras in [after(walks), after(walks).walk()] {
                word.write(eras);
                assert_eq!(word.read(), eras);
            }
        }
    }
}
