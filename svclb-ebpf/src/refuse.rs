//! Answering a packet that nobody serves.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC},
    helpers::generated::{bpf_skb_adjust_room, bpf_skb_change_tail},
};
use svclb_common::{
    key::Hook,
    refuse::{Refusal, Segment, kept, room, write_reset, write_unreachable},
    verdict::DropReason,
    wire::Eth,
};

use crate::{
    act::{DROP, INGRESS, drop, ifindex, redirect},
    kernel::Maps,
    tc::{frame, parse},
};

/// Turns the packet into its refusal and sends it back to where it came from.
#[inline(never)]
pub(crate) fn refuse<F: Maps>(skb: *mut __sk_buff, hook: Hook, reason: DropReason) -> i32 {
    let Some(packet) = parse::<F>(skb) else { return DROP };
    let _counted = drop::<F>(skb, &packet.flow(hook), reason);
    let Some(refusal) = Refusal::of(packet.transport, packet.flags) else { return DROP };
    let segment = Segment::of(&packet);
    let l4_offset = segment.l4_offset;
    // SAFETY: no reference into the packet is alive after `segment` was read.
    if unsafe { bpf_skb_change_tail(skb, kept(refusal, l4_offset) as u32, 0) } != 0 {
        return DROP;
    }
    let written = match refusal {
        Refusal::Reset => write_reset::<F>(frame(skb), segment),
        Refusal::Unreachable => {
            // SAFETY: as above.
            if unsafe { bpf_skb_adjust_room(skb, room::<F>().cast_signed() as i32, BPF_ADJ_ROOM_MAC, 0) } != 0
            {
                return DROP;
            }
            write_unreachable::<F>(frame(skb), kept(refusal, l4_offset) - size_of::<Eth>(), segment.partial)
        }
    };
    match (written, hook) {
        (Err(_), _) => DROP,
        (Ok(()), Hook::Ingress) => redirect(ifindex(skb), 0),
        (Ok(()), Hook::Egress) => redirect(ifindex(skb), INGRESS),
    }
}
