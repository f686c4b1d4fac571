//! A packet's way through a hook.
//!
//! An established flow is decided by one lookup. Everything else goes to functions of
//! their own, which parse again, so that the hot path's frame stays small.

use svclb_common::{
    balance::{self, Edge, Learned, Place, decides},
    encap::is_gue,
    family::{Family, V4, V6},
    key::Hook,
    packet::{Packet, Unparsed},
    verdict::DropReason,
    wire::{Cursor, Eth, Transport},
};

use crate::{
    act::{act, drop},
    flow, fragment, icmp,
    kernel::{Kernel, Maps},
    medium::Medium,
    refuse, tunnel,
};

/// The whole way. Each program is one instance, with medium, edge and hook known to the compiler.
#[inline(always)]
pub(crate) fn handle<M: Medium>(medium: M, edge: Edge, hook: Hook) -> i32 {
    if medium.is_exempt() || hook == Hook::Ingress && edge == Edge::Uplink && medium.is_done() {
        return M::NEXT;
    }
    let mut rest = medium.frame();
    let Some(eth) = rest.take::<Eth>() else { return M::NEXT };
    match eth.ethertype {
        V4::ETHERTYPE => family::<V4, M>(medium, eth, rest, edge, hook),
        V6::ETHERTYPE => family::<V6, M>(medium, eth, rest, edge, hook),
        _ => M::NEXT,
    }
}

#[inline(always)]
fn family<F: Maps, M: Medium>(medium: M, eth: &mut Eth, rest: Cursor<'_>, edge: Edge, hook: Hook) -> i32 {
    let takes_others = edge == Edge::Uplink && hook == Hook::Ingress;
    let mut is_inner = false;
    match Packet::<F>::parse(eth, rest) {
        Ok(packet) => {
            if let Some(entry) = flow::established::<F>(&packet.flow(hook))
                && decides::<F>(entry, packet.transport, packet.flags, &Kernel { medium })
            {
                return act(medium, packet, entry, hook);
            }
            is_inner = takes_others && is_gue(&packet) && tunnel::is_in_gue::<F, M>(medium);
        }
        Err(Unparsed::Short) => {}
        Err(Unparsed::Foreign) => return M::NEXT,
        Err(Unparsed::Fragment) => return fragment::handle::<F, M>(medium, edge, hook),
        Err(Unparsed::Icmp) => return icmp::handle::<F, M>(medium, edge, hook),
        Err(Unparsed::Tunnel) if takes_others && tunnel::is_in_ip::<F, M>(medium) => is_inner = true,
        Err(Unparsed::Tunnel) => return M::NEXT,
    }
    if takes_others && !is_inner {
        tunnel::is_alone::<F>();
    }
    let learned = if is_inner && tunnel::goes_on::<F, M>(medium) {
        KNOWN_INSIDE
    } else {
        match (edge, hook) {
            (Edge::Pod, Hook::Ingress) => learn_pod_ingress::<F, M>(medium),
            (Edge::Pod, Hook::Egress) => learn_pod_egress::<F, M>(medium),
            (Edge::Uplink, Hook::Ingress) => learn_uplink_ingress::<F, M>(medium),
            (Edge::Uplink, Hook::Egress) => learn_uplink_egress::<F, M>(medium),
        }
    };
    let learned =
        if takes_others && learned == KNOWN_INSIDE { tunnel::unwrap::<F, M>(medium) } else { learned };
    match (learned, hook) {
        (KNOWN, Hook::Ingress) => act_ingress::<F, M>(medium),
        (KNOWN, Hook::Egress) => act_egress::<F, M>(medium),
        (REFUSE, _) => refuse::refuse::<F, M>(medium, hook, DropReason::NoBackend),
        (REFUSE_PORT, _) => refuse::refuse::<F, M>(medium, hook, DropReason::UnknownPort),
        (code, _) => code,
    }
}

/// Besides verdicts: the flow tables know what to do.
pub(crate) const KNOWN: i32 = 1 << 16;

/// The same of a packet that is still inside another one.
const KNOWN_INSIDE: i32 = 4 << 16;

/// Besides verdicts: the packet is to be refused, because nobody serves.
const REFUSE: i32 = 2 << 16;

/// The same, because there is no such port.
const REFUSE_PORT: i32 = 3 << 16;

/// Functions of their own, each with edge and hook known to the compiler.
macro_rules! per_hook {
    ($($name:ident => $body:expr;)+) => {
        $(
            #[inline(never)]
            fn $name<F: Maps, M: Medium>(medium: M) -> i32 {
                $body(medium)
            }
        )+
    };
}
per_hook! {
    learn_pod_ingress => |medium| learn::<F, M>(medium, Edge::Pod, Hook::Ingress);
    learn_pod_egress => |medium| learn::<F, M>(medium, Edge::Pod, Hook::Egress);
    learn_uplink_ingress => |medium| learn::<F, M>(medium, Edge::Uplink, Hook::Ingress);
    learn_uplink_egress => |medium| learn::<F, M>(medium, Edge::Uplink, Hook::Egress);
    act_ingress => |medium| act_on_known::<F, M>(medium, Hook::Ingress);
    act_egress => |medium| act_on_known::<F, M>(medium, Hook::Egress);
}

/// Enough for every header that the datapath reads: Ethernet, the longest IPv4
/// header, and TCP without options.
const HEADERS: u32 = 14 + 60 + 20;

/// Finds or makes the flow of a packet that no established flow decides.
#[inline(always)]
fn learn<F: Maps, M: Medium>(medium: M, edge: Edge, hook: Hook) -> i32 {
    let Some(scratch) = flow::scratch::<F>() else { return M::NEXT };
    let place = Place { edge, hook, ifindex: medium.ifindex() };
    let is_inner = place.takes_others() && scratch.around() != 0;
    let (transport, flags) = if is_inner {
        let Some(transport) = Transport::of(scratch.key.proto) else { return M::NEXT };
        (transport, scratch.flags())
    } else {
        let Some(packet) = parse::<F, M>(medium) else { return M::NEXT };
        scratch.key = packet.flow(hook);
        (packet.transport, packet.flags)
    };
    match balance::learn::<F, _>(&Kernel { medium }, place, scratch, transport, flags) {
        Learned::NotOurs => M::NEXT,
        Learned::Known if place.takes_others() && scratch.around() != 0 => KNOWN_INSIDE,
        Learned::Known => KNOWN,
        Learned::Refused(_) if place.takes_others() && scratch.around() != 0 => M::NEXT,
        Learned::Refused(DropReason::UnknownPort) => REFUSE_PORT,
        Learned::Refused(_) => REFUSE,
        Learned::Dropped(reason) => drop::<F, M>(medium, &scratch.key, reason),
    }
}

/// Acts on a packet whose flow was just found or made.
#[inline(always)]
fn act_on_known<F: Maps, M: Medium>(medium: M, hook: Hook) -> i32 {
    let Some(packet) = parse::<F, M>(medium) else { return M::NEXT };
    let key = packet.flow(hook);
    // Another CPU may establish it between the two looks.
    let entry =
        flow::find::<F>(&key).or_else(|| flow::half_open::<F>(&key)).or_else(|| flow::find::<F>(&key));
    match entry {
        Some(entry) => act(medium, packet, entry, hook),
        // Evicted a moment after it was found: the sender repeats itself.
        None => drop::<F, M>(medium, &key, DropReason::FlowTableFull),
    }
}

/// The packet, with its headers brought to hand if they were not.
#[inline(always)]
pub(crate) fn parse<'f, F: Family, M: Medium>(medium: M) -> Option<Packet<'f, F>> {
    let mut rest = medium.frame();
    let eth = rest.take::<Eth>()?;
    match Packet::<F>::parse(eth, rest) {
        Ok(packet) => Some(packet),
        Err(Unparsed::Short) => {
            if !medium.pull(HEADERS) {
                return None;
            }
            let mut rest = medium.frame();
            let eth = rest.take::<Eth>()?;
            Packet::<F>::parse(eth, rest).ok()
        }
        Err(_) => None,
    }
}
