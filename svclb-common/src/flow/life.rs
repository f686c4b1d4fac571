//! What a flow's entry remembers of its packets, in one word.

use super::state;
use crate::{cell::Word64, wire::TcpFlags};

/// State bit: a packet of this direction has passed, other than a reset.
pub const SEEN: u32 = 1;
/// State bit: this direction has sent its FIN.
pub const FIN: u32 = 2;
/// State bit: this direction has sent a reset.
pub const RST: u32 = 4;
/// State bit: this direction has sent something other than a SYN or a reset.
pub const SPOKE: u32 = 8;
/// State bit of the entry towards the backend: the flow does not count as one that the backend has any more.
pub const LEFT: u32 = 16;
/// State bit of the entry towards the backend: the backend has another connection of the client's by the tuple that
/// the flow was given.
pub const CLASHED: u32 = 32;

/// The time stamp of a flow is at most this old, and is not written by each packet, so that a busy
/// flow's cache line stays clean.
pub const TICK_NS: u64 = 1_000_000_000;

/// Bits of the state, below all others.
const STATE_BITS: u32 = 8;
/// Bits of the tick, above the state.
const TICK_BITS: u32 = 24;
/// The stamp counts units of so many nanoseconds, as a power of two: 67 ms, of which 32 bits last for nine years.
const UNIT: u32 = 26;

/// A short time, by its number: that of jiffies, divided by 64. Jiffies cost nothing to ask for, but
/// only the kernel knows how long they are: 1 to 10 ms. So a tick is a number that differs after
/// 640 ms at the latest, and is the same again after 12 days at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick(u32);

impl Tick {
    /// The one that so many jiffies are in.
    #[inline(always)]
    pub fn of(jiffies: u64) -> Self {
        Self((jiffies >> 6) as u32 & ((1 << TICK_BITS) - 1))
    }
}

/// State bits, and when the last packet passed.
///
/// It is written by whichever CPU sees a packet, within nanoseconds of having been read. A lost race loses a tick of the
/// clock, or a bit: the next packet sets it again, an end that nobody repeats is left to the timeout, and who has
/// [left](LEFT) is counted anew by the agent. From the lowest bit: eight of state ([`SEEN`], [`FIN`], [`RST`], [`SPOKE`], [`LEFT`]), 24 of the [`Tick`]
/// in which the stamp was made, 32 of the stamp.
#[repr(transparent)]
#[derive(Debug)]
pub struct Life(Word64);

/// A [`Life`] as it was read.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lived(u64);

impl Life {
    /// That of an entry that no packet has used yet. `now` is `CLOCK_MONOTONIC_COARSE` in nanoseconds.
    #[inline(always)]
    pub fn new(now: u64) -> Self {
        Self(Word64::new(now >> UNIT << 32))
    }

    /// Begins anew.
    #[inline(always)]
    pub fn begin(&self, now: u64) {
        self.0.store(now >> UNIT << 32);
    }

    /// Becomes what another one is now.
    #[inline(always)]
    pub fn copy_from(&self, other: &Self) {
        self.0.store(other.0.load());
    }

    /// What there is now.
    #[inline(always)]
    pub fn read(&self) -> Lived {
        Lived(self.0.load())
    }

    /// Notes a packet of this direction. `now` is asked for in a new tick only: a precise clock costs as
    /// much as a lookup.
    #[inline(always)]
    pub fn touch(&self, flags: TcpFlags, tick: Tick, now: impl FnOnce() -> u64) {
        let is_new = (self.0.load() as u32) >> STATE_BITS != tick.0;
        let stamp = if is_new { now() >> UNIT } else { 0 };
        // Only now: what others note while the clock is asked for is not to be lost.
        let old = self.0.load();
        let mut new = old;
        if is_new {
            new = stamp << 32 | u64::from(tick.0 << STATE_BITS | new as u32 & ((1 << STATE_BITS) - 1));
        }
        if flags.any(TcpFlags::RST) {
            new |= u64::from(RST);
        } else {
            // Whoever has really reset its connection sends nothing more on it: the reset was
            // a stray one, which the receiver ignored.
            const { assert!(TcpFlags::FIN as u32 == FIN >> 1 && TcpFlags::SYN as u32 == SPOKE >> 2) };
            let (fin, syn) = (u64::from(flags.0 & TcpFlags::FIN), u64::from(flags.0 & TcpFlags::SYN));
            new = new & !u64::from(RST) | u64::from(SEEN) | fin << 1 | (syn << 2 ^ u64::from(SPOKE));
        }
        if new != old {
            self.0.store(new);
        }
    }

    /// Notes that the flow has left its backend. Returns whether that is news.
    #[inline(always)]
    pub fn leaves(&self) -> bool {
        let old = self.0.load();
        self.0.store(old | u64::from(LEFT));
        old & u64::from(LEFT) == 0
    }

    /// Notes that the backend has another connection by the flow's tuple.
    #[inline(always)]
    pub fn clashes(&self) {
        self.0.store(self.0.load() | u64::from(CLASHED));
    }
}

impl Lived {
    /// A life with those state bits, whose last packet passed at `seen`, `CLOCK_MONOTONIC_COARSE` in nanoseconds.
    #[cfg(not(target_arch = "bpf"))]
    pub fn new(state: u32, seen: u64) -> Self {
        Self(seen >> UNIT << 32 | u64::from(state & ((1 << STATE_BITS) - 1)))
    }

    /// The same flow as one that goes on, whatever has been seen of it, until a packet says otherwise: that of an entry
    /// which others than the programs keep. Those see no packet of it, or they would have stamped it.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    pub fn held(self) -> Self {
        Self(u64::from(u32::MAX) << 32 | u64::from(self.state() & !(FIN | RST)))
    }

    /// The same life, as if a packet of this direction had been seen: for a copy that somebody may have made too early to
    /// know.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    pub fn answered(self) -> Self {
        Self(self.0 | u64::from(SEEN))
    }

    /// Whether this is a [held](Self::held) one, of which no packet has passed.
    #[cfg(not(target_arch = "bpf"))]
    pub fn is_held(self) -> bool {
        self.0 >> 32 == u64::from(u32::MAX)
    }

    /// The state bits.
    #[inline(always)]
    pub fn state(self) -> u32 {
        self.0 as u32 & ((1 << STATE_BITS) - 1)
    }

    /// The stamp: a time, `CLOCK_MONOTONIC_COARSE` in nanoseconds, after which the last packet passed, by less than
    /// [`TICK_NS`].
    #[inline(always)]
    pub fn seen(self) -> u64 {
        self.0 >> 32 << UNIT
    }

    /// The number of the flow's [`FlowState`](state::FlowState), for protocol `proto` (IANA). `peer` is what the other
    /// direction's entry holds; where a table has lost that one, it is taken to have done what this one has.
    #[inline(always)]
    pub fn number(self, proto: u8, is_original: bool, peer: Option<Self>) -> u32 {
        let own = self.state();
        let other = match peer {
            Some(peer) => peer.state(),
            None => own,
        };
        let (client, backend) = if is_original { (own, other) } else { (other, own) };
        state::number(proto, client, backend)
    }

    /// The time before which the flow's last packet passed, in either direction: a flow that speaks one way only is
    /// in use as well.
    #[inline(always)]
    pub fn last(self, peer: Option<Self>) -> u64 {
        let seen = self.seen();
        let seen = match peer {
            Some(peer) => seen.max(peer.seen()),
            None => seen,
        };
        seen.wrapping_add(TICK_NS)
    }

    /// The same life, so many nanoseconds earlier, stamped in no tick that a clock will show soon.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    pub fn earlier(self, nanoseconds: u64) -> Self {
        let tick = !(self.0 as u32) >> STATE_BITS << STATE_BITS;
        Self(self.seen().saturating_sub(nanoseconds) >> UNIT << 32 | u64::from(tick | self.state()))
    }
}

impl From<Lived> for Life {
    fn from(lived: Lived) -> Self {
        Self(Word64::new(lived.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flags(flags: u8) -> TcpFlags {
        TcpFlags(flags)
    }

    #[test]
    fn a_reset_is_not_a_sign_of_life() {
        let life = Life::new(0);
        life.touch(flags(TcpFlags::RST | TcpFlags::ACK), Tick::of(0), || 1);
        assert_eq!(life.read().state(), RST);
        life.touch(flags(TcpFlags::SYN | TcpFlags::ACK), Tick::of(63), || panic!("a tick has one stamp"));
        assert_eq!(life.read().state(), SEEN, "who goes on has not reset");
        assert_eq!(life.read().seen(), 0, "the stamp is kept within a tick");
        life.touch(flags(TcpFlags::ACK), Tick::of(64), || TICK_NS);
        assert!(life.read().seen() <= TICK_NS && life.read().last(None) > TICK_NS);
        assert_eq!(life.read().state(), SEEN | SPOKE);
    }

    #[test]
    fn a_held_flow_goes_on_until_a_packet_says_otherwise() {
        let ended = Lived::new(SEEN | SPOKE | FIN | RST | LEFT, 5 * TICK_NS);
        let held = ended.held();
        assert!(held.is_held() && !ended.is_held());
        assert_eq!(held.state(), SEEN | SPOKE | LEFT);
        assert!(held.last(Some(ended)) >= 1 << 57, "it is never idle");
        assert!(held.last(None).checked_add(1 << 62).is_some(), "and no timeout goes past the end of time");
        let life = Life::from(held);
        life.touch(flags(TcpFlags::FIN), Tick::of(1 << 10), || 7 * TICK_NS);
        assert!(!life.read().is_held() && life.read().seen() <= 7 * TICK_NS);
        assert_eq!(life.read().state(), SEEN | SPOKE | LEFT | FIN);
    }

    #[test]
    fn a_copy_has_been_answered() {
        let life = Lived::new(LEFT, 5 * TICK_NS);
        assert_eq!(life.answered().state(), LEFT | SEEN);
        assert_eq!(life.answered().seen(), life.seen());
    }

    #[test]
    fn a_backend_is_left_once() {
        let life = Life::new(5 * TICK_NS);
        assert!(life.leaves() && !life.leaves());
        life.touch(flags(TcpFlags::FIN), Tick::of(1 << 40), || 7 * TICK_NS);
        assert_eq!(life.read().state(), SEEN | SPOKE | FIN | LEFT);
        life.begin(0);
        assert_eq!((life.read().state(), life.read().seen()), (0, 0));
    }

    proptest! {
        /// Of whatever jiffies and whatever times within nine years.
        #[test]
        fn the_last_packet_is_after_the_stamp_and_before_a_tick(
            jiffies: u64, now in 0_u64..9 * 365 * 86_400 * TICK_NS, bits in 0_u8..32,
        ) {
            let life = Life::new(0);
            let tick = Tick::of(jiffies);
            life.touch(flags(bits), Tick::of(jiffies.wrapping_add(64)), || 0);
            life.touch(flags(bits), tick, || now);
            let lived = life.read();
            prop_assert!(lived.seen() <= now && now < lived.last(None));
            prop_assert_eq!(lived.last(Some(Lived(0))), lived.last(None));
            // The tick is over 64 jiffies later at the latest, and no jiffy of it asks for the clock.
            let mut within = (jiffies & !63)..=(jiffies | 63);
            prop_assert!(within.all(|jiffies| Tick::of(jiffies) == tick));
            prop_assert_ne!(Tick::of(jiffies.wrapping_add(64)), tick);
            let early = lived.earlier(TICK_NS);
            prop_assert_eq!(early.state(), lived.state());
            prop_assert!(early.seen() <= lived.seen().saturating_sub(TICK_NS));
        }
    }
}
