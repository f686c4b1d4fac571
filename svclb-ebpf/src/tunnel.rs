//! Packets in packets: what a node sends to another one for it to deliver.

use svclb_common::{balance::Edge, key::Hook};

use crate::{kernel::Maps, medium::Medium};

/// Deals with such a packet.
#[inline(always)]
pub(crate) fn handle<F: Maps, M: Medium>(_medium: M, _edge: Edge, _hook: Hook) -> i32 {
    M::NEXT
}
