//! Where frontends may be, and where none is for certain: a counting Bloom filter of one hash.
//!
//! Most packets go to no frontend, and a byte that is zero tells so at a tenth of what a lookup costs. The agent alone
//! writes: it counts a frontend in before it is written and out when it is gone, so that what is lost between two steps
//! is only that a place looks taken.

use crate::{family::Address, key::FrontendKey, line::Line};

/// Places of frontends: two for each that their table has room for.
pub const PLACES: u32 = 1 << 18;

/// The place of a frontend.
#[inline(always)]
pub fn place<A: Address>(key: &FrontendKey<A>) -> u32 {
    (key.spread() >> 46) as u32
}

/// Whether a frontend may be there: if not, none is.
#[inline(always)]
pub fn may_hold(line: &Line, place: u32) -> bool {
    line.at(place).load() != 0
}

/// Counts a frontend in. A place that is full stays so.
pub fn count_in(line: &Line, place: u32) {
    let count = line.at(place);
    count.store(count.load().saturating_add(1));
}

/// Counts a frontend out that was counted in.
pub fn count_out(line: &Line, place: u32) {
    let count = line.at(place);
    let before = count.load();
    if before != u8::MAX {
        count.store(before.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{family::Addr4, wire::Transport};

    #[test]
    fn a_place_is_free_when_all_have_left() {
        let line = Line::new();
        assert!(!may_hold(&line, 70));
        count_in(&line, 70);
        count_in(&line, 70);
        count_out(&line, 70);
        assert!(may_hold(&line, 70) && !may_hold(&line, 69) && !may_hold(&line, 71));
        count_out(&line, 70);
        count_out(&line, 70);
        assert!(!may_hold(&line, 70));
    }

    #[test]
    fn places_are_part_of_the_layout() {
        let key = FrontendKey::new(Addr4(0x0a60_000a), 0x5000, Transport::Tcp);
        // Other places are another LAYOUT_VERSION: pinned counts stand where they were made.
        assert_eq!(place(&key), 72_614);
    }

    #[test]
    fn who_was_not_counted_is_never_counted_out() {
        let line = Line::new();
        for _ in 0..300 {
            count_in(&line, 3);
        }
        for _ in 0..300 {
            count_out(&line, 3);
        }
        assert!(may_hold(&line, 3), "there were more than a byte counts");
    }
}
