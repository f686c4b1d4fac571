//! What a packet costs, where it costs most: accesses to hashes, each of which may be a cache miss.

use std::cell::Cell;

/// Accesses to tables that are hashes in the kernel; arrays are not counted.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    lookups: Cell<u32>,
    writes: Cell<u32>,
}

impl Cost {
    /// Notes a lookup.
    pub(super) fn look(&self) {
        self.lookups.set(self.lookups.get() + 1);
    }

    /// Notes that an entry is written or forgotten.
    pub(super) fn write(&self) {
        self.writes.set(self.writes.get() + 1);
    }

    /// Lookups and writes since the last call.
    pub(crate) fn take(&self) -> (u32, u32) {
        (self.lookups.take(), self.writes.take())
    }
}
