//! Carrying out a recipe on a packet.

use svclb_common::{
    encap::entropy,
    family::IpHeader as _,
    flow::{Action, FlowEntry, Recipe},
    key::{FlowKey, Hook},
    packet::Packet,
    verdict::DropReason,
    wire::TcpFlags,
};

use crate::{
    backend,
    entry::entries,
    expire::expire,
    flow,
    kernel::Maps,
    medium::{Medium, Way},
    observe, outcome,
    recorder::{self, Story},
    too_big, tunnel,
};

/// The loopback device's address. A device takes for the host only what is sent to its
/// own address, and this is the only one that is known here.
pub(crate) const NOBODY: [u8; 6] = [0; 6];

/// Rewrites the packet, whose key is in the scratch value, as its flow says and sends it on.
#[inline(always)]
pub(crate) fn act<F: Maps, M: Medium>(
    medium: M,
    packet: Packet<'_, F>,
    entry: &FlowEntry<F::Addr>,
    hook: Hook,
) -> i32 {
    let recipe = &entry.recipe;
    let action = recipe.action();
    if !M::carries(action) {
        return M::NEXT;
    }
    let mut device = 0;
    if matches!(action, Action::Forward | Action::Tunnel) {
        if packet.ip.hops() <= 1 {
            return expire::<F, M>(medium, &packet, recipe);
        }
        let outer = if action == Action::Tunnel { tunnel::overhead::<F>() as u16 } else { 0 };
        let size = too_big::size(medium, &packet).saturating_add(outer);
        // Before anything is changed: the packet may have to go on as it is.
        match medium.way_of::<F>(entry, size, packet.eth) {
            Way::By(ifindex) => device = ifindex,
            Way::Later => return M::NEXT,
            Way::TooBig(mtu) => {
                flow::note_plain(&packet);
                let _counted = drop_too_big::<F, M>(medium, recipe, mtu);
                return too_big::answer::<F, M>(medium, too_big::what(hook, mtu.saturating_sub(outer)));
            }
            Way::Nowhere(reason) => return drop_translated::<F, M>(medium, recipe, reason),
        }
    }
    let (flags, len) = (packet.flags, packet.ip.total_len());
    match action {
        Action::Forward => packet.ip.decrement_hops(),
        Action::Tunnel => {
            packet.ip.decrement_hops();
            let sport = entropy(&packet);
            return match tunnel::wrap::<F, M>(medium, recipe, sport) {
                Some(()) if note::<F>(entry, flags, len) => medium.send(device),
                Some(()) => drop_given_away::<F, M>(medium),
                None => drop_translated::<F, M>(medium, recipe, DropReason::Unwritable),
            };
        }
        Action::Reflect => (packet.eth.dst, packet.eth.src) = (packet.eth.src, packet.eth.dst),
        // Where the packet just goes on, its device has recognised its own address before.
        Action::Deliver => packet.eth.dst = NOBODY,
        Action::Pass => {}
    }
    if !medium.rewrite::<F>(packet, recipe) {
        return drop_translated::<F, M>(medium, recipe, DropReason::Unwritable);
    }
    if !note::<F>(entry, flags, len) {
        return drop_given_away::<F, M>(medium);
    }
    match action {
        Action::Pass => medium.pass(),
        Action::Forward | Action::Tunnel => medium.send(device),
        Action::Reflect => medium.reflect(),
        Action::Deliver if hook == Hook::Ingress && entry.hop.device() == medium.ifindex() => medium.pass(),
        Action::Deliver => medium.deliver(),
    }
}

/// Notes a packet of `len` bytes that was translated, if the entry still is its flow's.
#[inline(always)]
fn note<F: Maps>(entry: &FlowEntry<F::Addr>, flags: TcpFlags, len: u16) -> bool {
    let holds = flow::holds::<F>(&entry.recipe);
    if holds {
        entry.touch(flags, observe::tick(), observe::now);
        backend::count_packet::<F>(entry.recipe.service, len);
        outcome::count_packet::<F>(entry.recipe.backend, len);
    }
    holds
}

/// Counts, reports and drops the packet whose key is in the scratch value: the table gave its entry away while it was
/// read. A function of its own, for the stack's sake.
#[inline(never)]
pub(crate) fn drop_given_away<F: Maps, M: Medium>(medium: M) -> i32 {
    drop::<F, M>(medium, DropReason::FlowTableFull)
}

/// Counts, reports and drops the packet whose key is in the scratch value, and of which no more is known.
#[inline(always)]
pub(crate) fn drop<F: Maps, M: Medium>(medium: M, reason: DropReason) -> i32 {
    let _told = drop_packet::<F, M>(medium, reason as u32);
    // What such a function returns the verifier does not know.
    M::DROP
}

/// The same of a packet for which no flow was found or made: the scratch value knows its Service.
#[inline(always)]
pub(crate) fn drop_first<F: Maps, M: Medium>(medium: M, reason: DropReason) -> i32 {
    let _told = drop_packet::<F, M>(medium, reason as u32 | IS_FIRST);
    M::DROP
}

/// Beside a reason: see [`drop_first`].
const IS_FIRST: u32 = 1 << 16;

entries! {
    /// Does both.
    fn drop_packet(what: u32) = svclb_drop => drop_now;
}

#[inline(always)]
fn drop_now<F: Maps, M: Medium>(medium: M, what: u32) -> i32 {
    let Some(scratch) = flow::scratch::<F>() else { return M::DROP };
    let cause = what & (IS_FIRST - 1);
    let owner = if what & IS_FIRST == 0 { (0, 0) } else { scratch.owner(cause) };
    let FlowKey { sport, dport, proto, hook, .. } = scratch.key;
    let story = Story { cause, sport, dport, proto, hook, owner, detail: 0 };
    recorder::tell_here::<F, M>(medium, &scratch.key.src, &scratch.key.dst, story);
    M::DROP
}

/// Counts, reports and drops a packet of a known flow, under the tuple that it was to get. A function of its own,
/// for the stack's sake.
#[inline(never)]
pub(crate) fn drop_translated<F: Maps, M: Medium>(
    medium: M,
    recipe: &Recipe<F::Addr>,
    reason: DropReason,
) -> i32 {
    tell_translated::<F, M>(medium, recipe, reason, 0)
}

/// The same of one that is larger than its way carries, which is so many bytes.
#[inline(never)]
fn drop_too_big<F: Maps, M: Medium>(medium: M, recipe: &Recipe<F::Addr>, mtu: u16) -> i32 {
    tell_translated::<F, M>(medium, recipe, DropReason::TooBig, mtu.into())
}

#[inline(always)]
fn tell_translated<F: Maps, M: Medium>(
    medium: M,
    recipe: &Recipe<F::Addr>,
    reason: DropReason,
    detail: u32,
) -> i32 {
    let Recipe { sport, dport, proto, service, backend, .. } = *recipe;
    let hook = flow::scratch::<F>().map_or(0, |scratch| scratch.key.hook);
    let owner = (service, backend);
    let story = Story { cause: reason as u32, sport, dport, proto, hook, owner, detail };
    recorder::tell::<F, M>(medium, &recipe.src, &recipe.dst, story);
    M::DROP
}
