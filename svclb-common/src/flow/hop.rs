//! Where a flow's packets leave the node, remembered.
//!
//! To ask for a route costs a program more than everything else that it does to a packet. So an entry
//! keeps what the last answer was, for as long as the node's routes and neighbours are known not to
//! have changed, and for a few seconds.

use crate::cell::Word32;

/// The time for which an answer counts: until the agent tells of a change, and for at most 1024 jiffies, which is 1 to
/// 10 s (4 s at 250 Hz); that bounds the damage where no agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u32);

impl Epoch {
    /// The one of so many jiffies and so many changes of the node's ways.
    #[inline(always)]
    pub fn of(jiffies: u64, changes: u32) -> Self {
        // Odd, so that it is never an entry's zero, and spread, so that changes do not lead to a later time.
        Self(((jiffies >> 10) as u32).wrapping_add(changes.wrapping_mul(0x9e37_79b1)) << 1 | 1)
    }
}

/// Both link addresses, as they begin an Ethernet header.
pub type Link = [u32; 3];

/// The next hop of a flow's packets, for packets of one device.
///
/// CPUs write it at the same time. They find the same, unless a route has just changed; a packet that
/// goes by a mixture is lost like one that was on its way.
#[repr(C)]
#[derive(Debug)]
pub struct Hop {
    epoch: Word32,
    from: Word32,
    device: Word32,
    fits: Word32,
    link: [Word32; 3],
}

impl Default for Hop {
    fn default() -> Self {
        let zero = || Word32::new(0);
        Self { epoch: zero(), from: zero(), device: zero(), fits: zero(), link: [zero(), zero(), zero()] }
    }
}

impl Hop {
    /// Device and link addresses for a packet of `size` bytes that has come by device `from`, if they are
    /// known to count in `now`.
    #[inline(always)]
    pub fn find(&self, now: Epoch, from: u32, size: u16) -> Option<(u32, Link)> {
        if self.epoch.load() != now.0 || self.from.load() != from || self.fits.load() < size.into() {
            return None;
        }
        let [a, b, c] = &self.link;
        Some((self.device.load(), [a.load(), b.load(), c.load()]))
    }

    /// Notes that packets of up to `size` bytes that have come by device `from` leave by `device`.
    #[inline(always)]
    pub fn note(&self, now: Epoch, from: u32, size: u16, device: u32, link: Link) {
        self.epoch.store(0);
        self.from.store(from);
        self.device.store(device);
        self.fits.store(size.into());
        let mut i = 0;
        while i < link.len() {
            self.link[i].store(link[i]);
            i += 1;
        }
        self.epoch.store(now.0);
    }

    /// Forgets it.
    #[inline(always)]
    pub fn forget(&self) {
        self.epoch.store(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = [1, 2, 3];

    #[test]
    fn an_answer_counts_for_its_time_its_device_and_smaller_packets() {
        let hop = Hop::default();
        let now = Epoch::of(0, 0);
        assert_eq!(hop.find(now, 0, 0), None, "nothing is known at first");
        hop.note(now, 7, 1500, 8, LINK);
        assert_eq!(hop.find(now, 7, 1500), Some((8, LINK)));
        assert_eq!(hop.find(Epoch::of(1023, 0), 7, 40), Some((8, LINK)));
        for (epoch, from, size) in
            [(Epoch::of(1024, 0), 7, 40), (Epoch::of(0, 1), 7, 40), (now, 6, 40), (now, 7, 1501)]
        {
            assert_eq!(hop.find(epoch, from, size), None, "{epoch:?} {from} {size}");
        }
        hop.forget();
        assert_eq!(hop.find(now, 7, 40), None);
    }

    /// A change now is not the same as time that passes: entries of that time would count.
    #[test]
    fn changes_do_not_lead_to_another_time() {
        let at = |minutes: u64, changes| Epoch::of(minutes * 60 * 1000, changes);
        for changes in 1..2000 {
            for minutes in 0..60 {
                assert_ne!(at(0, changes), at(minutes, 0), "{changes} {minutes}");
            }
        }
    }
}
