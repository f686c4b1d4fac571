//! Where a flow's packets leave the node, remembered.
//!
//! To ask for a route costs a program more than everything else that it does to a packet. So an entry
//! keeps what the last answer was, for as long as the node's routes and neighbours are known not to
//! have changed, and for a few seconds.

use core::mem::offset_of;

use crate::cell::Word32;

/// The time for which an answer counts: until the agent tells of a change, and for at most 1024 jiffies, which is 1 to
/// 10 s (4 s at 250 Hz); that bounds the damage where no agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u32);

impl Epoch {
    /// No time at all.
    pub const NEVER: Self = Self(0);

    /// The one of so many jiffies and so many changes of the node's ways, for packets that have come by device `from`:
    /// a route may depend on that.
    #[inline(always)]
    pub fn of(jiffies: u64, changes: u32, from: u32) -> Self {
        // Odd, so that it is never an entry's zero, and spread, so that neither changes nor devices lead to a later time.
        let spread = changes.wrapping_mul(0x9e37_79b1).wrapping_add(from.wrapping_mul(0x85eb_ca6b));
        Self(((jiffies >> 10) as u32).wrapping_add(spread) << 1 | 1)
    }
}

/// Both link addresses, as they begin an Ethernet header.
pub type Link = [u32; 3];

/// The next hop of a flow's packets; and of those that enter this node ([`Action::Deliver`](super::Action::Deliver))
/// the device that is to have received them, which nobody notes anew.
///
/// CPUs write it at the same time. They find the same, unless a route has just changed; a packet that
/// goes by a mixture is lost like one that was on its way.
#[repr(C)]
#[derive(Debug)]
pub struct Hop {
    epoch: Word32,
    device: Word32,
    fits: Word32,
    link: [Word32; 3],
}

impl Default for Hop {
    fn default() -> Self {
        let zero = || Word32::new(0);
        Self { epoch: zero(), device: zero(), fits: zero(), link: [zero(), zero(), zero()] }
    }
}

impl Hop {
    /// Which of its words is the device.
    pub(super) const DEVICE: usize = offset_of!(Self, device) / size_of::<u32>();

    /// Begins anew, with the device that is to receive the packets, or 0.
    #[inline(always)]
    pub fn begin(&self, device: u32) {
        self.epoch.store(0);
        self.device.store(device);
    }

    /// Becomes what another one is.
    #[inline(always)]
    pub fn copy_from(&self, other: &Self) {
        self.epoch.store(other.epoch.load());
        self.device.store(other.device.load());
        self.fits.store(other.fits.load());
        let mut i = 0;
        while i < self.link.len() {
            self.link[i].store(other.link[i].load());
            i += 1;
        }
    }

    /// The device.
    #[inline(always)]
    pub fn device(&self) -> u32 {
        self.device.load()
    }

    /// Device and link addresses for a packet of `size` bytes, if they are known to count in `now`.
    #[inline(always)]
    pub fn find(&self, now: Epoch, size: u16) -> Option<(u32, Link)> {
        if self.epoch.load() != now.0 || self.fits.load() < size.into() {
            return None;
        }
        let [a, b, c] = &self.link;
        Some((self.device.load(), [a.load(), b.load(), c.load()]))
    }

    /// Notes that packets of up to `size` bytes leave by `device`.
    #[inline(always)]
    pub fn note(&self, now: Epoch, size: u16, device: u32, link: Link) {
        self.epoch.store(0);
        self.device.store(device);
        self.fits.store(size.into());
        let mut i = 0;
        while i < link.len() {
            self.link[i].store(link[i]);
            i += 1;
        }
        self.epoch.store(now.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = [1, 2, 3];

    #[test]
    fn an_answer_counts_for_its_time_its_device_and_smaller_packets() {
        let hop = Hop::default();
        let now = Epoch::of(0, 0, 7);
        assert_eq!(hop.find(now, 0), None, "nothing is known at first");
        hop.note(now, 1500, 8, LINK);
        assert_eq!(hop.find(now, 1500), Some((8, LINK)));
        assert_eq!(hop.find(Epoch::of(1023, 0, 7), 40), Some((8, LINK)));
        for (epoch, size) in
            [(Epoch::of(1024, 0, 7), 40), (Epoch::of(0, 1, 7), 40), (Epoch::of(0, 0, 6), 40), (now, 1501)]
        {
            assert_eq!(hop.find(epoch, size), None, "{epoch:?} {size}");
        }
        hop.begin(3);
        assert_eq!((hop.find(now, 40), hop.device()), (None, 3));
    }

    /// A change now, or another device, is not the same as time that passes: entries of that time would count.
    #[test]
    fn changes_and_devices_do_not_lead_to_another_time() {
        let at = |minutes: u64, changes, from| Epoch::of(minutes * 60 * 1000, changes, from);
        for step in 1..2000 {
            for minutes in 0..60 {
                assert_ne!(at(0, step, 0), at(minutes, 0, 0), "{step} {minutes}");
                assert_ne!(at(0, 0, step), at(minutes, 0, 0), "{step} {minutes}");
                assert_ne!(at(0, 0, step), at(minutes, step, 0), "{step} {minutes}");
            }
        }
    }
}
