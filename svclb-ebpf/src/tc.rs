//! A packet's way through a TC hook.
//!
//! An established flow is decided by one lookup. Everything else goes to [`slow`],
//! a function of its own: it parses again, so that the hot path's frame stays small.

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_pull_data, programs::TcContext};
use svclb_common::{
    balance::{self, Edge, Learned, Place, decides},
    family::{Family, V4, V6},
    key::Hook,
    packet::{Packet, Unparsed},
    verdict::DropReason,
    wire::{Cursor, Eth},
};

use crate::{
    act::{NEXT, act, drop, ifindex},
    flow,
    kernel::{Kernel, Maps},
    refuse,
};

/// The whole way. Each program is one instance, with edge and hook known to the compiler.
#[inline(always)]
pub(crate) fn handle(ctx: &TcContext, edge: Edge, hook: Hook) -> i32 {
    let skb = ctx.skb.skb;
    // A tagged packet belongs to the device of its VLAN, whose own hooks see it without the tag.
    // SAFETY: the context lives as long as the program runs.
    if unsafe { (*skb).vlan_present } != 0 {
        return NEXT;
    }
    let mut rest = frame(skb);
    let Some(eth) = rest.take::<Eth>() else { return NEXT };
    match eth.ethertype {
        V4::ETHERTYPE => family::<V4>(skb, eth, rest, edge, hook),
        V6::ETHERTYPE => family::<V6>(skb, eth, rest, edge, hook),
        _ => NEXT,
    }
}

/// The bytes of the packet that are at hand.
#[inline(always)]
pub(crate) fn frame<'f>(skb: *mut __sk_buff) -> Cursor<'f> {
    // SAFETY: the kernel's bounds of the packet. Each caller makes a cursor anew after
    // any helper that may have moved the packet, and drops what came from the old one.
    unsafe { Cursor::new((*skb).data as usize as *mut u8, (*skb).data_end as usize as *mut u8) }
}

#[inline(always)]
fn family<F: Maps>(skb: *mut __sk_buff, eth: &mut Eth, rest: Cursor<'_>, edge: Edge, hook: Hook) -> i32 {
    match Packet::<F>::parse(eth, rest) {
        Ok(packet) => {
            if let Some(entry) = flow::established::<F>(&packet.flow(hook))
                && decides::<F>(entry, packet.transport, packet.flags, &Kernel { skb })
            {
                return act(skb, packet, entry, hook);
            }
        }
        Err(Unparsed::Short) => {}
        Err(Unparsed::Foreign | Unparsed::Fragment) => return NEXT,
    }
    let learned = match (edge, hook) {
        (Edge::Pod, Hook::Ingress) => learn_pod_ingress::<F>(skb),
        (Edge::Pod, Hook::Egress) => learn_pod_egress::<F>(skb),
        (Edge::Uplink, Hook::Ingress) => learn_uplink_ingress::<F>(skb),
        (Edge::Uplink, Hook::Egress) => learn_uplink_egress::<F>(skb),
    };
    match (learned, hook) {
        (KNOWN, Hook::Ingress) => act_ingress::<F>(skb),
        (KNOWN, Hook::Egress) => act_egress::<F>(skb),
        (REFUSE, _) => refuse::refuse::<F>(skb, hook, DropReason::NoBackend),
        (REFUSE_PORT, _) => refuse::refuse::<F>(skb, hook, DropReason::UnknownPort),
        (REFUSE_EXHAUSTED, _) => refuse::refuse::<F>(skb, hook, DropReason::PortsExhausted),
        (code, _) => code,
    }
}

/// Besides TC verdicts: the flow tables know what to do.
const KNOWN: i32 = 1 << 16;

/// Besides TC verdicts: the packet is to be refused, because nobody serves.
const REFUSE: i32 = 2 << 16;

/// The same, because there is no such port.
const REFUSE_PORT: i32 = 3 << 16;

/// The same, because all ports towards the backend are taken.
const REFUSE_EXHAUSTED: i32 = 4 << 16;

/// Functions of their own, each with edge and hook known to the compiler.
macro_rules! per_hook {
    ($($name:ident => $body:expr;)+) => {
        $(
            #[inline(never)]
            fn $name<F: Maps>(skb: *mut __sk_buff) -> i32 {
                $body(skb)
            }
        )+
    };
}
per_hook! {
    learn_pod_ingress => |skb| learn::<F>(skb, Edge::Pod, Hook::Ingress);
    learn_pod_egress => |skb| learn::<F>(skb, Edge::Pod, Hook::Egress);
    learn_uplink_ingress => |skb| learn::<F>(skb, Edge::Uplink, Hook::Ingress);
    learn_uplink_egress => |skb| learn::<F>(skb, Edge::Uplink, Hook::Egress);
    act_ingress => |skb| act_on_known::<F>(skb, Hook::Ingress);
    act_egress => |skb| act_on_known::<F>(skb, Hook::Egress);
}

/// Enough for every header that the datapath reads: Ethernet, the longest IPv4
/// header, and TCP without options.
const HEADERS: u32 = 14 + 60 + 20;

/// Finds or makes the flow of a packet that no established flow decides.
#[inline(always)]
fn learn<F: Maps>(skb: *mut __sk_buff, edge: Edge, hook: Hook) -> i32 {
    let Some(packet) = parse::<F>(skb) else { return NEXT };
    let place = Place { edge, hook, ifindex: ifindex(skb) };
    let Some(scratch) = flow::scratch::<F>() else { return NEXT };
    scratch.key = packet.flow(hook);
    match balance::learn::<F, _>(&Kernel { skb }, place, scratch, packet.transport, packet.flags) {
        Learned::NotOurs => NEXT,
        Learned::Known => KNOWN,
        Learned::Refused(DropReason::UnknownPort) => REFUSE_PORT,
        Learned::Refused(DropReason::PortsExhausted) => REFUSE_EXHAUSTED,
        Learned::Refused(_) => REFUSE,
        Learned::Dropped(reason) => drop::<F>(skb, &scratch.key, reason),
    }
}

/// Acts on a packet whose flow was just found or made.
#[inline(always)]
fn act_on_known<F: Maps>(skb: *mut __sk_buff, hook: Hook) -> i32 {
    let Some(packet) = parse::<F>(skb) else { return NEXT };
    let key = packet.flow(hook);
    // Another CPU may establish it between the two looks.
    let entry =
        flow::find::<F>(&key).or_else(|| flow::half_open::<F>(&key)).or_else(|| flow::find::<F>(&key));
    match entry {
        Some(entry) => act(skb, packet, entry, hook),
        // Evicted a moment after it was found: the sender repeats itself.
        None => drop::<F>(skb, &key, DropReason::FlowTableFull),
    }
}

/// The packet, with its headers brought to hand if they were not.
#[inline(always)]
pub(crate) fn parse<'f, F: Family>(skb: *mut __sk_buff) -> Option<Packet<'f, F>> {
    let mut rest = frame(skb);
    let eth = rest.take::<Eth>()?;
    match Packet::<F>::parse(eth, rest) {
        Ok(packet) => Some(packet),
        Err(Unparsed::Foreign | Unparsed::Fragment) => None,
        Err(Unparsed::Short) => {
            // SAFETY: the context lives as long as the program runs.
            let len = unsafe { (*skb).len };
            // SAFETY: as above; no reference into the packet is alive.
            if unsafe { bpf_skb_pull_data(skb, len.min(HEADERS)) } != 0 {
                return None;
            }
            let mut rest = frame(skb);
            let eth = rest.take::<Eth>()?;
            Packet::<F>::parse(eth, rest).ok()
        }
    }
}
