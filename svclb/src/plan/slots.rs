//! Slots, and which of them are in use.

use svclb_common::service::{BackendId, Slab};

use super::{cells::Cells, visits::visit};

/// The slots of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots {
    ids: Vec<BackendId>,
    /// By slot: whether some list has it in use. What is past the end is not.
    in_use: Vec<bool>,
}

impl Slots {
    /// The backends in `slab`, in the order of its slots. Empty if it was never written.
    pub(super) fn get(&self, slab: Slab) -> &[BackendId] {
        visit(slab.len as usize);
        let base = slab.base as usize;
        self.ids.get(base..base + slab.len as usize).unwrap_or_default()
    }

    /// Takes over slots as they were found, before any of them is in use.
    pub(super) fn set(&mut self, ids: Vec<BackendId>) {
        self.ids = ids;
    }

    pub(super) fn write(&mut self, index: u32, backend: BackendId, cells: &mut Cells) {
        let at = index as usize;
        self.ids.resize(self.ids.len().max(at + 1), 0);
        let old = std::mem::replace(&mut self.ids[at], backend);
        if self.is_in_use(index) && old != backend {
            cells.release(old);
            cells.hold(backend);
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
                cells.release(self.ids.get(index as usize).copied().unwrap_or(0));
            }
        }
        for index in new.base + same..after.end {
            if !self.set_in_use(index, true) {
                cells.hold(self.ids.get(index as usize).copied().unwrap_or(0));
            }
        }
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
