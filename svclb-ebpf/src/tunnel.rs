//! Packets in packets: what a node sends to another one for it to deliver.

use svclb_common::{
    balance::decides,
    config::DSR_GUE,
    encap::{Encapsulation, parse_inner, write_outer},
    family::{Family, IpHeader as _},
    flow::Recipe,
    key::Hook,
    outline::Outline,
    packet::Unparsed,
    verdict::DropReason,
    wire::Transport,
};

use crate::{
    act::drop,
    config, flow,
    kernel::{Kernel, Maps},
    medium::Medium,
    pipeline::KNOWN,
};

/// What packets to other nodes travel in.
#[inline(always)]
fn encapsulation() -> Encapsulation {
    Encapsulation::of(config::is_set(DSR_GUE))
}

/// Bytes that a packet grows by on its way to another node.
#[inline(always)]
pub(crate) fn overhead<F: Family>() -> usize {
    encapsulation().overhead::<F>()
}

/// Puts the packet into another one, as its flow says. A function of its own, for the stack's sake.
#[inline(never)]
pub(crate) fn wrap<F: Maps, M: Medium>(medium: M, recipe: &Recipe<F::Addr>, sport: u16) -> Option<()> {
    if !medium.wrap::<F>(overhead::<F>() as u32, encapsulation()) {
        return None;
    }
    write_outer::<F>(medium.frame(), encapsulation(), recipe.src, recipe.dst, sport).ok()
}

/// Enough for the headers of both packets: Ethernet, IPv6, UDP, the longest IPv4 header, and TCP
/// without options.
const HEADERS: u32 = 14 + 40 + 8 + 60 + 20;

/// Looks for a packet in the IP packet, and puts it into the scratch value; whether there is one.
#[inline(never)]
pub(crate) fn is_in_ip<F: Maps, M: Medium>(medium: M) -> bool {
    look::<F, M>(medium, Encapsulation::Ip)
}

/// The same for a UDP datagram.
#[inline(never)]
pub(crate) fn is_in_gue<F: Maps, M: Medium>(medium: M) -> bool {
    look::<F, M>(medium, Encapsulation::Gue)
}

#[inline(always)]
fn look<F: Maps, M: Medium>(medium: M, encapsulation: Encapsulation) -> bool {
    let parsed = match parse_inner::<F>(medium.frame(), encapsulation) {
        Err(Unparsed::Short) if medium.pull(HEADERS) => parse_inner::<F>(medium.frame(), encapsulation),
        parsed => parsed,
    };
    let Ok((outer, packet)) = parsed else { return false };
    let Some(scratch) = flow::scratch::<F>() else { return false };
    scratch.key = packet.flow(Hook::Ingress);
    scratch.outline = Outline::plain(packet.transport);
    scratch.set_inner(outer.dst(), encapsulation.overhead::<F>() as u32, packet.flags);
    true
}

/// Whether an established flow says what to do with the packet that was found.
#[inline(never)]
pub(crate) fn goes_on<F: Maps, M: Medium>(medium: M) -> bool {
    let Some(scratch) = flow::scratch::<F>() else { return false };
    let Some(transport) = Transport::of(scratch.key.proto) else { return false };
    // A first fragment has more to tell.
    if !scratch.outline.is_plain() {
        return false;
    }
    flow::find::<F>(&scratch.key).is_some_and(|entry| {
        scratch.is_to(&entry.recipe) && decides::<F>(entry, transport, scratch.flags(), &Kernel { medium })
    })
}

/// Takes the packet that was found out of the one around it.
#[inline(never)]
pub(crate) fn unwrap<F: Maps, M: Medium>(medium: M) -> i32 {
    let Some(scratch) = flow::scratch::<F>() else { return M::NEXT };
    if medium.unwrap(scratch.around()) { KNOWN } else { drop::<F, M>(medium, DropReason::Unwritable) }
}

/// Says in the scratch value that the packet travels alone.
#[inline(never)]
pub(crate) fn is_alone<F: Maps>() {
    if let Some(scratch) = flow::scratch::<F>() {
        scratch.set_alone();
    }
}
