//! Slots, and which of them are in use.

use svclb_common::service::{BackendId, Slab, Slot};

use super::{cells::Cells, visits::visit};

/// The slots of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots {
    held: Vec<Slot>,
    /// By slot: whether some list has it in use. What is past the end is not.
    in_use: Vec<bool>,
}

impl Slots {
    /// What `slab` holds, in the order of its slots. Empty if it was never written.
    pub(super) fn get(&self, slab: Slab) -> &[Slot] {
        visit(slab.len as usize);
        let base = slab.base as usize;
        self.held.get(base..base + slab.len as usize).unwrap_or_default()
    }

    /// Takes over slots as they were found, before any of them is in use.
    pub(super) fn set(&mut self, held: Vec<Slot>) {
        self.held = held;
    }

    pub(super) fn write(&mut self, index: u32, slot: Slot, cells: &mut Cells) {
        let at = index as usize;
        self.held.resize(self.held.len().max(at + 1), Slot::default());
        let old = std::mem::replace(&mut self.held[at], slot);
        if self.is_in_use(index) && old.backend != slot.backend {
            cells.release(old.backend);
            cells.hold(slot.backend);
        }
    }

    /// A list goes from slab `old` to slab `new`.
    pub(super) fn switch(&mut self, old: Slab, new: Slab, cells: &mut Cells) {
        let end = |slab: Slab| slab.base.saturating_add(slab.len);
        let (before, after) = (old.base..end(old), new.base..end(new));
        // Where both begin at one slot, only what one of them has more is looked at.
        let same = if old.base == new.base { old.len.min(new.len) } else { 0 };
        for index in old.base + same..before.end {
            if !after.contains(&index) && self.set_in_use(index, false) {
                cells.release(self.backend(index));
            }
        }
        for index in new.base + same..after.end {
            if !self.set_in_use(index, true) {
                cells.hold(self.backend(index));
            }
        }
    }

    /// Takes as little memory as possible.
    pub(super) fn compact(&mut self) {
        self.held.shrink_to_fit();
        self.in_use.shrink_to_fit();
    }

    fn backend(&self, index: u32) -> BackendId {
        self.held.get(index as usize).map_or(0, |slot| slot.backend)
    }

    fn is_in_use(&self, index: u32) -> bool {
        self.in_use.get(index as usize).is_some_and(|&is_in_use| is_in_use)
    }

    /// Returns what it was before.
    fn set_in_use(&mut self, index: u32, is_in_use: bool) -> bool {
        let at = index as usize;
        if at >= self.in_use.len() {
            self.in_use.resize(at + 1, false);
        }
        std::mem::replace(&mut self.in_use[at], is_in_use)
    }
}
