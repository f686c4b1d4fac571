//! Answering a packet that nobody serves.

use svclb_common::{
    family::IpHeader as _,
    key::Hook,
    refuse::{Refusal, Segment, kept, room, write_reset, write_unreachable},
    verdict::DropReason,
    wire::Eth,
};

use crate::{act::drop, kernel::Maps, medium::Medium, pipeline::parse};

/// Turns the packet into its refusal and sends it back to where it came from.
#[inline(never)]
pub(crate) fn refuse<F: Maps, M: Medium>(medium: M, hook: Hook, reason: DropReason) -> i32 {
    let Some(packet) = parse::<F, M>(medium) else { return M::DROP };
    if !medium.can_cut(packet.ip.total_len()) {
        return M::NEXT;
    }
    let _counted = drop::<F, M>(medium, &packet.flow(hook), reason);
    let Some(refusal) = Refusal::of(packet.transport, packet.flags) else { return M::DROP };
    let mut segment = Segment::of(&packet);
    segment.partial &= M::MAY_BE_PARTIAL;
    let l4_offset = segment.l4_offset;
    if !medium.cut(kept(refusal, l4_offset) as u32) {
        return M::DROP;
    }
    let written = match refusal {
        Refusal::Reset => write_reset::<F>(medium.frame(), segment),
        Refusal::Unreachable => {
            if !medium.grow(room::<F>() as u32) {
                return M::DROP;
            }
            write_unreachable::<F>(
                medium.frame(),
                kept(refusal, l4_offset) - size_of::<Eth>(),
                segment.partial,
            )
        }
    };
    if written.is_err() { M::DROP } else { medium.answer(hook) }
}
