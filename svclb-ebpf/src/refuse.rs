//! Answering a packet that nobody serves.

use svclb_common::{
    family::IpHeader as _,
    key::Hook,
    refuse::{Notice, Refusal, Segment, close_up, kept, reset_offset, room, write_notice, write_reset},
    verdict::DropReason,
    wire::Eth,
};

use crate::{act::drop_first, entry::entries, flow, kernel::Maps, medium::Medium, pipeline::parse};

entries! {
    /// Turns the packet into its refusal and sends it back to where it came from. `why` is made by [`why`].
    pub(crate) fn refuse(why: u32) = svclb_refuse => answer;
}

/// A hook and a reason in one number.
#[inline(always)]
pub(crate) fn why(hook: Hook, reason: DropReason) -> u32 {
    hook as u32 | (reason as u32) << 8
}

#[inline(always)]
fn answer<F: Maps, M: Medium>(medium: M, why: u32) -> i32 {
    let hook = if why & 0xff == Hook::Ingress as u32 { Hook::Ingress } else { Hook::Egress };
    let reason = match why >> 8 {
        number if number == DropReason::UnknownPort as u32 => DropReason::UnknownPort,
        number if number == DropReason::PortsExhausted as u32 => DropReason::PortsExhausted,
        _ => DropReason::NoBackend,
    };
    let Some(scratch) = flow::scratch::<F>() else { return M::DROP };
    let outline = scratch.outline;
    let Some(packet) = parse::<F, M>(medium, outline) else { return M::DROP };
    if !medium.can_cut(packet.ip.total_len()) {
        return M::NEXT;
    }
    let _counted = drop_first::<F, M>(medium, reason);
    let Some(refusal) = Refusal::of_part(outline, packet.transport, packet.flags) else { return M::DROP };
    let mut segment = Segment::of(&packet);
    // The kernel completes checksums before it fragments.
    segment.partial &= M::MAY_BE_PARTIAL && !outline.is_fragment();
    let mut l4_offset = segment.l4_offset;
    if refusal == Refusal::Reset {
        if close_up::<F>(medium.frame(), l4_offset).is_err() {
            return M::DROP;
        }
        l4_offset = reset_offset::<F>(l4_offset);
        segment.l4_offset = l4_offset;
    }
    if !medium.cut(kept(refusal, l4_offset) as u32) {
        return M::DROP;
    }
    let written = match refusal {
        Refusal::Reset => write_reset::<F>(medium.frame(), segment),
        Refusal::Unreachable => {
            if !medium.grow(room::<F>() as u32) {
                return M::DROP;
            }
            write_notice::<F>(
                medium.frame(),
                Notice::unreachable::<F>(),
                kept(refusal, l4_offset) - size_of::<Eth>(),
                segment.partial,
            )
        }
    };
    if written.is_err() { M::DROP } else { medium.answer(hook) }
}
