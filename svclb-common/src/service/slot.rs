//! What a slot holds: a backend and its weight.

use super::BackendId;
use crate::layout::capacity;

/// What a slot holds. In the map it is one word: the cell in 24 bits, and above it the weight less one, so that a
/// word which is nothing but a number means a backend of weight 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The backend's cell.
    pub backend: BackendId,
    /// Its share in relation to the others of the list; 0 where it gets nothing new.
    pub weight: u8,
}

/// Bits of the cell's number.
const CELL_BITS: u32 = 24;
const _: () = assert!(capacity::BACKENDS <= 1 << CELL_BITS);

impl Slot {
    /// The backend's cell in the word of a slot.
    #[inline(always)]
    pub fn backend_of(word: u32) -> BackendId {
        word & ((1 << CELL_BITS) - 1)
    }

    /// The backend's weight in the word of a slot.
    #[inline(always)]
    pub fn weight_of(word: u32) -> u8 {
        ((word >> CELL_BITS) as u8).wrapping_add(1)
    }

    /// As one word.
    pub fn pack(self) -> u32 {
        self.backend | u32::from(self.weight.wrapping_sub(1)) << CELL_BITS
    }

    /// The inverse of [`pack`](Self::pack).
    pub fn unpack(word: u32) -> Self {
        Self { backend: Self::backend_of(word), weight: Self::weight_of(word) }
    }
}

impl Default for Slot {
    /// A slot that was never written.
    fn default() -> Self {
        Self::unpack(0)
    }
}

impl From<BackendId> for Slot {
    /// A backend of weight 1.
    fn from(backend: BackendId) -> Self {
        Self { backend, weight: 1 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packing_loses_nothing(backend in 0u32..1 << CELL_BITS, weight: u8) {
            let slot = Slot { backend, weight };
            prop_assert_eq!(Slot::unpack(slot.pack()), slot);
            prop_assert_eq!(Slot::from(backend).pack(), backend);
        }
    }
}
