//! A packet's way through a hook.
//!
//! An established flow is decided by one lookup. Everything else goes to functions of
//! their own, which parse again, so that the hot path's frame stays small.

use svclb_common::{
    balance::{self, Edge, Learned, Place, Shown, decides},
    encap::is_gue,
    family::{Family, V4, V6},
    key::{FlowKey, Hook, put_wide},
    outline::{HEADERS, Outline},
    packet::{Packet, Unparsed},
    sign::Sign,
    verdict::DropReason,
    wire::{Eth, Transport},
};

use crate::{
    act::{act, drop, drop_first},
    around,
    entry::entries,
    expire, flow, fragment, icmp, inner,
    kernel::{Kernel, Maps},
    medium::Medium,
    recorder::{self, Story},
    refuse, stranger, tunnel,
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
        V4::ETHERTYPE => told::<V4, M>(medium, hook, family::<V4, M>(medium, edge, hook)),
        V6::ETHERTYPE => told::<V6, M>(medium, hook, family::<V6, M>(medium, edge, hook)),
        _ => M::NEXT,
    }
}

/// Tells the sender of a packet whose hops have ended, if `code` says so.
#[inline(always)]
fn told<F: Maps, M: Medium>(medium: M, hook: Hook, code: i32) -> i32 {
    if !M::IS_FRAME && code == EXPIRED { expire::tell::<F, M>(medium, hook as u32) } else { code }
}

/// What is done by itself needs no stack here: the frames of one call's functions come on top of
/// this one, and not of each other's.
#[inline(always)]
fn family<F: Maps, M: Medium>(medium: M, edge: Edge, hook: Hook) -> i32 {
    let first = established::<F, M>(medium, hook);
    let outlined = if first == UNUSUAL { outline::<F, M>(medium) } else { first };
    let takes_others = edge == Edge::Uplink && hook == Hook::Ingress;
    let outlined = match outlined {
        GUE if takes_others && tunnel::is_in_gue::<F, M>(medium) => INSIDE,
        TUNNEL if takes_others && tunnel::is_in_ip::<F, M>(medium) => INSIDE,
        GUE | TUNNEL if takes_others => inner::enter::<F, M>(medium, outlined),
        code => code,
    };
    let is_inner = match outlined {
        KNOWN | GUE => false,
        INSIDE => true,
        TUNNEL => return M::NEXT,
        HEADLESS => return fragment::handle::<F, M>(medium, hook),
        ICMP => {
            return match icmp::handle::<F, M>(medium, hook) {
                AROUND if takes_others => around::handle::<F, M>(medium),
                AROUND => M::NEXT,
                code => code,
            };
        }
        code => return code,
    };
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
    let is_known = learned == KNOWN || takes_others && learned == KNOWN_INSIDE;
    // Before anything of the packet changes.
    if is_known && tell_sign::<F, M>(medium) != KNOWN && M::IS_FRAME {
        return M::NEXT;
    }
    let learned =
        if takes_others && learned == KNOWN_INSIDE { tunnel::unwrap::<F, M>(medium) } else { learned };
    match (learned, hook) {
        (KNOWN, Hook::Ingress) => act_ingress::<F, M>(medium),
        (KNOWN, Hook::Egress) => act_egress::<F, M>(medium),
        (REFUSE, _) => refuse::refuse::<F, M>(medium, refuse::why(hook, DropReason::NoBackend)),
        (REFUSE_PORT, _) => refuse::refuse::<F, M>(medium, refuse::why(hook, DropReason::UnknownPort)),
        (REFUSE_EXHAUSTED, _) => {
            refuse::refuse::<F, M>(medium, refuse::why(hook, DropReason::PortsExhausted))
        }
        (code, _) => code,
    }
}

// What functions return besides verdicts, which are small.

/// The flow tables know what to do.
pub(crate) const KNOWN: i32 = 1 << 16;

/// The same of a packet that is still inside another one.
const KNOWN_INSIDE: i32 = 2 << 16;

/// More must be looked at than the usual headers.
const UNUSUAL: i32 = 3 << 16;

/// The packet is a fragment without a transport header.
pub(crate) const HEADLESS: i32 = 4 << 16;

/// The packet is ICMP.
pub(crate) const ICMP: i32 = 5 << 16;

/// There is a packet in the packet.
const TUNNEL: i32 = 6 << 16;

/// There may be a packet in the datagram, which is of no established flow.
const GUE: i32 = 7 << 16;

/// There is a packet in the packet, and the scratch value has it.
pub(crate) const INSIDE: i32 = 11 << 16;

/// The packet is ICMP and about a flow that travels in other packets, or may be about one of these.
pub(crate) const AROUND: i32 = 12 << 16;

/// The packet's hops end here, and its sender is to hear of it.
pub(crate) const EXPIRED: i32 = 13 << 16;

/// The packet is to be refused, because nobody serves.
const REFUSE: i32 = 8 << 16;

/// The same, because there is no such port.
const REFUSE_PORT: i32 = 9 << 16;

/// The same, because all ports towards the backend are taken.
const REFUSE_EXHAUSTED: i32 = 10 << 16;

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

/// Acts on a packet whose flow is established. The hot path: one lookup decides. It is part of the
/// program and has its key in the scratch value: a call costs up to 11 ns (returns are slow where the
/// kernel guards them), and the program's frame comes on top of all others.
#[inline(always)]
fn established<F: Maps, M: Medium>(medium: M, hook: Hook) -> i32 {
    let mut rest = medium.frame();
    let Some(eth) = rest.take::<Eth>() else { return M::NEXT };
    match Packet::<F>::parse(eth, rest) {
        Ok(packet) => {
            let transport = packet.transport;
            let Some(scratch) = flow::scratch::<F>() else { return M::NEXT };
            put_wide(&mut scratch.key, packet.flow(hook));
            let kernel = Kernel { medium };
            let found = balance::established::<F>(&kernel, &scratch.key, packet.flags);
            if let Some(entry) = found
                && decides::<F>(entry, packet.transport, packet.flags, &kernel)
            {
                return act(medium, packet, entry, hook);
            }
            scratch.outline = Outline::plain(transport);
            if hook == Hook::Ingress && is_gue(&packet) {
                return GUE;
            }
            let is_strange = found.is_none() && packet.flags.is_midway();
            if is_strange && stranger::is_known::<F>(&scratch.key) { M::NEXT } else { KNOWN }
        }
        Err(Unparsed::Foreign) => M::NEXT,
        Err(Unparsed::Short | Unparsed::Extended | Unparsed::Fragment) => UNUSUAL,
        Err(Unparsed::Icmp) => ICMP,
        Err(Unparsed::Tunnel) => TUNNEL,
    }
}

/// Notes the outline of a packet that is not as plain as most, or whose headers are not at hand.
#[inline(never)]
fn outline<F: Maps, M: Medium>(medium: M) -> i32 {
    let mut is_pulled = false;
    let outline = loop {
        match look::<F, M>(medium) {
            Ok(outline) => break outline,
            Err(Unparsed::Short) if !is_pulled && medium.pull(HEADERS) => is_pulled = true,
            Err(_) => return M::NEXT,
        }
    };
    let Some(scratch) = flow::scratch::<F>() else { return M::NEXT };
    scratch.outline = outline;
    if outline.is_headless() { HEADLESS } else { KNOWN }
}

/// The outline, as far as the bytes at hand tell. In its caller: alone, the compiler would hand it
/// the packet's bounds as numbers, which the verifier does not take for pointers.
#[inline(always)]
fn look<F: Maps, M: Medium>(medium: M) -> Result<Outline, Unparsed> {
    let mut rest = medium.frame();
    let _eth = rest.take::<Eth>().ok_or(Unparsed::Short)?;
    let ip = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
    Outline::of::<F>(ip, &rest)
}

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
        let Some(packet) = parse::<F, M>(medium, scratch.outline) else { return M::NEXT };
        scratch.key = packet.flow(hook);
        (packet.transport, packet.flags)
    };
    match balance::learn_part::<F, _>(&Kernel { medium }, place, scratch, transport, flags) {
        Learned::NotOurs => {
            if !is_inner && scratch.outline.is_plain() && flags.is_midway() {
                stranger::note::<F>(&scratch.key);
            }
            M::NEXT
        }
        Learned::Known if place.takes_others() && scratch.around() != 0 => KNOWN_INSIDE,
        Learned::Known => KNOWN,
        Learned::Refused(_) if place.takes_others() && scratch.around() != 0 => M::NEXT,
        Learned::Refused(DropReason::UnknownPort) => REFUSE_PORT,
        Learned::Refused(DropReason::PortsExhausted) => REFUSE_EXHAUSTED,
        Learned::Refused(_) => REFUSE,
        Learned::Dropped(reason) => drop_first::<F, M>(medium, reason),
    }
}

entries! {
    /// Tells what the packet shows of its flow, if anything, as it came. What is to become of the packet is as before, or
    /// the program behind does everything.
    fn tell_sign() = svclb_sign => told_sign;
}

#[inline(always)]
fn told_sign<F: Maps, M: Medium>(medium: M) -> i32 {
    let Some(scratch) = flow::scratch::<F>() else { return KNOWN };
    let &Shown { sign, service, backend, former, .. } = scratch.shown();
    // A flow that is another proxy's has no cells.
    if sign == 0 || service == 0 {
        return KNOWN;
    }
    // The program behind would tell again if the packet cannot leave from here. A new flow is no news to it.
    if M::IS_FRAME && sign != Sign::BackendSwitched as u32 {
        return M::NEXT;
    }
    let FlowKey { sport, dport, proto, hook, .. } = scratch.key;
    let story = Story { cause: sign, sport, dport, proto, hook, owner: (service, backend), detail: former };
    recorder::tell_here::<F, M>(medium, &scratch.key.src, &scratch.key.dst, story);
    KNOWN
}

/// Acts on a packet whose flow was just found or made.
#[inline(always)]
fn act_on_known<F: Maps, M: Medium>(medium: M, hook: Hook) -> i32 {
    let Some(scratch) = flow::scratch::<F>() else { return M::NEXT };
    let Some(packet) = parse::<F, M>(medium, scratch.outline) else { return M::NEXT };
    scratch.key = packet.flow(hook);
    match flow::any::<F>(&scratch.key, scratch.seems_established()) {
        Some(entry) => act(medium, packet, entry, hook),
        // Evicted a moment after it was found: the sender repeats itself.
        None => drop::<F, M>(medium, DropReason::FlowTableFull),
    }
}

/// The packet of that outline, whose headers are at hand.
#[inline(always)]
pub(crate) fn parse<'f, F: Family, M: Medium>(medium: M, outline: Outline) -> Option<Packet<'f, F>> {
    let mut rest = medium.frame();
    let eth = rest.take::<Eth>()?;
    Packet::<F>::parse_at(eth, rest, outline).ok()
}
