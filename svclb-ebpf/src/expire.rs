//! Packets that end here: those whose hop limit would become zero where the program is the router.

use svclb_common::{
    flow::Recipe,
    key::Hook,
    packet::Packet,
    refuse::{Notice, Refusal, Segment, kept, room, write_notice},
    verdict::DropReason,
    wire::Eth,
};

use crate::{
    act::drop_translated,
    entry::entries,
    flow,
    kernel::Maps,
    medium::Medium,
    pipeline::{EXPIRED, parse},
    route,
};

/// Counts and reports such a packet, of which nothing was changed. Says whether its sender is told: nobody is of
/// a later fragment (RFC 1812 section 4.3.2.7).
#[inline(always)]
pub(crate) fn expire<F: Maps, M: Medium>(medium: M, packet: &Packet<'_, F>, recipe: &Recipe<F::Addr>) -> i32 {
    // As with its size, TC tells.
    if M::IS_FRAME {
        return M::NEXT;
    }
    let dropped = drop_translated::<F, M>(medium, recipe, DropReason::HopLimit);
    if packet.is_later() {
        return dropped;
    }
    flow::note_plain(packet);
    EXPIRED
}

entries! {
    /// Turns such a packet into the error that tells its sender.
    pub(crate) fn tell(hook: u32) = svclb_expire => answer;
}

#[inline(always)]
fn answer<F: Maps, M: Medium>(medium: M, hook: u32) -> i32 {
    let hook = if hook == Hook::Ingress as u32 { Hook::Ingress } else { Hook::Egress };
    let Some(scratch) = flow::scratch::<F>() else { return M::DROP };
    let outline = scratch.outline;
    let Some(packet) = parse::<F, M>(medium, outline) else { return M::DROP };
    let segment = Segment::of(&packet);
    // The kernel completes checksums before it fragments.
    let is_partial = segment.partial && M::MAY_BE_PARTIAL && !outline.is_fragment();
    // As many bytes as "port unreachable" quotes. A segment whose checksum is left to the device cannot be cut
    // to so few: it is the node's own, or was merged, and is lost in silence.
    let bytes = kept(Refusal::Unreachable, segment.l4_offset);
    // The node's stack takes nothing from a device that comes from an address of its own.
    let from = if hook == Hook::Ingress { route::source_on::<F>(medium.ifindex()) } else { None };
    let notice = Notice::time_exceeded::<F>(from);
    if !medium.cut(bytes as u32) || !medium.grow(room::<F>() as u32) {
        return M::DROP;
    }
    match write_notice::<F>(medium.frame(), notice, bytes - size_of::<Eth>(), is_partial) {
        Ok(()) => medium.answer(hook),
        Err(_) => M::DROP,
    }
}
