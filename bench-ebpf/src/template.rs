//! The frame that the wrapper restores, as words of the map `TEMPLATE`. The bench includes this file as well.
//!
//! Each word holds one store: the frame is cut at the borders of header fields, and addresses are not cut at all, so
//! that no store is narrower than a load of the program under test.

/// Words of a template.
pub(crate) const WORDS: usize = 32;

/// Bytes 0 to 3, 4 and 5, 6 to 9, 10 and 11, 12 and 13 of the frame.
pub(crate) const ETHERNET: usize = 0;

/// Bytes 14 to 17, 18 to 21 and so on.
pub(crate) const BODY: usize = 5;

/// Words of the body: enough for the headers of IPv6 and TCP.
pub(crate) const BODY_WORDS: usize = 15;

/// Bytes of the frame before a program has changed its length.
pub(crate) const LEN: usize = BODY + BODY_WORDS;

/// What the counter is multiplied by: 0 for one flow, 1 for flows in sequence, an odd number for flows far apart.
pub(crate) const STEP: usize = LEN + 1;

/// Bits of the client's address that differ between flows, host byte order.
pub(crate) const MASK: usize = STEP + 1;

/// Packets so far.
pub(crate) const COUNTER: usize = MASK + 1;
