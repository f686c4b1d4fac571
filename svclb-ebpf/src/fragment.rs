//! Fragments of larger packets, whose ports only the first one carries.

use svclb_common::{balance::Edge, key::Hook};

use crate::{kernel::Maps, medium::Medium};

/// Deals with such a packet.
#[inline(always)]
pub(crate) fn handle<F: Maps, M: Medium>(_medium: M, _edge: Edge, _hook: Hook) -> i32 {
    M::NEXT
}
