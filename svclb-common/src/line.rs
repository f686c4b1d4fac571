//! Elements of arrays of bytes: an array would pad a single byte to eight.

use crate::cell::Word8;

/// Bytes in an element.
pub const LINE: usize = 64;

/// Bytes in a row. Which of them belong to a place of a filter, is the place divided by [`LINE`].
#[repr(C, align(8))]
#[derive(Debug)]
pub struct Line([Word8; LINE]);

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// Zeros.
    pub const fn new() -> Self {
        Self([const { Word8::new(0) }; LINE])
    }

    /// The number of the element that has a place.
    #[inline(always)]
    pub fn of(place: u32) -> u32 {
        place / LINE as u32
    }

    /// The byte of a place that this element has.
    #[inline(always)]
    pub fn at(&self, place: u32) -> &Word8 {
        &self.0[place as usize % LINE]
    }
}
