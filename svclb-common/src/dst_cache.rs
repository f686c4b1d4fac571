//! What the kernel said of the way to a destination a moment ago.
//!
//! Many flows go to few destinations, and to ask for a route costs more than most of what else a first packet needs.
//! A next hop counts for the [`Epoch`] in which it was given, like the one that a flow's entry keeps ([`Hop`]), so that
//! no packet takes an old way for longer because of this. An address becomes a flow's for its life: it counts for a
//! [`moment`] only, which is enough for many flows where there are many.

use crate::{
    family::Address,
    flow::{Epoch, Hop, Link},
    key::spread,
};

/// Places for destinations, of each CPU.
pub const DSTS: u32 = 1024;

/// What is known of the way to one destination. All zeros know nothing.
#[repr(C)]
#[derive(Debug)]
pub struct CachedDst<A> {
    dst: A,
    /// The address that the node uses on the way.
    source: A,
    /// When that was asked.
    asked: Epoch,
    /// In which [`moment`].
    moment: u32,
    /// The device of that way.
    device: u32,
    /// Where packets come from whose next hop is known.
    src: A,
    /// The next hop of packets from there.
    hop: Hop,
}

impl<A: Address> CachedDst<A> {
    /// The device that leads to `dst`, and the address that the node uses on the way.
    #[inline(always)]
    pub fn source(&self, dst: A, now: Epoch, moment: u32) -> Option<(u32, A)> {
        (self.asked == now && self.moment == moment && self.dst.is(dst)).then_some((self.device, self.source))
    }

    /// Notes them.
    #[inline(always)]
    pub fn note_source(&mut self, dst: A, now: Epoch, moment: u32, (device, source): (u32, A)) {
        self.turn_to(dst);
        (self.device, self.source) = (device, source);
        self.moment = moment;
        self.asked = now;
    }

    /// Device and link addresses for a packet of `size` bytes from `src` to `dst`.
    #[inline(always)]
    pub fn hop(&self, (src, dst): (A, A), now: Epoch, size: u16) -> Option<(u32, Link)> {
        if self.dst.is(dst) && self.src.is(src) { self.hop.find(now, size) } else { None }
    }

    /// Notes that packets of up to `size` bytes from `src` to `dst` leave by `device`.
    #[inline(always)]
    pub fn note_hop(&mut self, (src, dst): (A, A), now: Epoch, size: u16, device: u32, link: Link) {
        self.turn_to(dst);
        self.src = src;
        self.hop.note(now, size, device, link);
    }

    /// Forgets what is about another destination.
    #[inline(always)]
    fn turn_to(&mut self, dst: A) {
        if !self.dst.is(dst) {
            self.dst = dst;
            self.asked = Epoch::NEVER;
            self.hop.begin(0);
        }
    }
}

/// The number of a short time: 8 jiffies, which are 8 to 80 ms.
#[inline(always)]
pub fn moment(jiffies: u64) -> u32 {
    (jiffies >> 3) as u32
}

/// The place of a destination.
#[inline(always)]
pub fn place<A: Address>(dst: &A) -> u32 {
    (spread(dst.mix()) >> 54) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Addr4;

    const LINK: Link = [1, 2, 3];
    const NODE: Addr4 = Addr4(1);
    const VIP: Addr4 = Addr4(2);
    const FAR: Addr4 = Addr4(3);
    const OTHER: Addr4 = Addr4(4);

    fn now() -> Epoch {
        Epoch::of(0, 0, 7)
    }

    fn later() -> Epoch {
        Epoch::of(0, 1, 7)
    }

    fn nothing() -> CachedDst<Addr4> {
        CachedDst {
            dst: Addr4(0),
            source: Addr4(0),
            asked: Epoch::NEVER,
            moment: 0,
            device: 0,
            src: Addr4(0),
            hop: Hop::default(),
        }
    }

    #[test]
    fn an_answer_counts_for_its_destination_and_its_time() {
        let mut cached = nothing();
        assert_eq!(cached.source(Addr4(0), now(), 0), None, "nothing is known at first");
        cached.note_source(FAR, now(), 5, (8, NODE));
        assert_eq!(cached.source(FAR, now(), 5), Some((8, NODE)));
        assert_eq!(cached.source(FAR, now(), 6), None, "an address counts for a moment");
        assert_eq!((cached.source(FAR, later(), 5), cached.source(OTHER, now(), 5)), (None, None));

        cached.note_hop((NODE, FAR), now(), 1500, 8, LINK);
        assert_eq!(cached.source(FAR, now(), 5), Some((8, NODE)), "it is about the same destination");
        assert_eq!(cached.hop((NODE, FAR), now(), 1500), Some((8, LINK)));
        for (ends, at, size) in [
            ((VIP, FAR), now(), 40),
            ((NODE, OTHER), now(), 40),
            ((NODE, FAR), later(), 40),
            ((NODE, FAR), now(), 1501),
        ] {
            assert_eq!(cached.hop(ends, at, size), None, "{ends:?} {at:?} {size}");
        }
    }

    #[test]
    fn a_moment_is_a_few_jiffies() {
        assert_eq!((moment(8), moment(15), moment(16)), (1, 1, 2));
    }

    #[test]
    fn another_destination_in_its_place_knows_nothing_of_it() {
        let mut cached = nothing();
        cached.note_source(FAR, now(), 5, (8, NODE));
        cached.note_hop((NODE, FAR), now(), 1500, 8, LINK);
        cached.note_source(OTHER, now(), 5, (9, VIP));
        assert_eq!(cached.hop((NODE, OTHER), now(), 40), None);
        assert_eq!((cached.source(FAR, now(), 5), cached.hop((NODE, FAR), now(), 40)), (None, None));

        cached.note_hop((VIP, FAR), now(), 1500, 8, LINK);
        assert_eq!((cached.source(FAR, now(), 5), cached.source(OTHER, now(), 5)), (None, None));
        assert_eq!(cached.hop((VIP, FAR), now(), 40), Some((8, LINK)));
    }
}
