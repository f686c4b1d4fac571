//! Errors that come to the node which puts clients' packets into others.

use svclb_common::{
    config::{DSR_TCP, DSR_UDP},
    family::IpHeader as _,
    flow::{Action, Recipe},
    icmp::{Heard, Message, Quoted, hear},
    key::{FlowKey, Hook},
    verdict::DropReason,
    wire::Eth,
};

use crate::{
    act::{drop, drop_translated},
    config,
    entry::entries,
    flow,
    kernel::{Kernel, Maps},
    medium::{Medium, Way},
    recorder::{self, Story},
    tunnel,
};

entries! {
    /// Deals with an error about an answer that the backend's node has sent, or about a packet around
    /// a client's.
    pub(crate) fn handle() = svclb_around => deal;
}

#[inline(always)]
fn deal<F: Maps, M: Medium>(medium: M) -> i32 {
    if !config::is_set(DSR_TCP | DSR_UDP) {
        return M::NEXT;
    }
    match Quoted::<F>::parse(medium.frame()) {
        Quoted::Other => pass_on::<F, M>(medium),
        // TC counts it.
        Quoted::Short(_) if M::IS_FRAME => M::NEXT,
        Quoted::Short(ip) => {
            // Others may have packets in packets as well: the stack hears of it.
            let story = Story {
                cause: DropReason::TooBig as u32,
                sport: 0,
                dport: 0,
                proto: F::ICMP,
                hook: Hook::Ingress as u8,
                owner: (0, 0),
                detail: 0,
            };
            recorder::tell::<F, M>(medium, &ip.src(), &ip.dst(), story);
            M::NEXT
        }
        Quoted::Whole(around) => {
            let Some(scratch) = flow::scratch::<F>() else { return M::NEXT };
            scratch.key = around.flow();
            if !around.is_ours(&Kernel { medium }, &scratch.key) {
                return M::NEXT;
            }
            let Some(relayed) = around.relayed() else {
                return drop::<F, M>(medium, DropReason::TooBig);
            };
            let FlowKey { src, dst, .. } = &scratch.key;
            let device = match medium.way::<F>(dst, src, relayed.total_len::<F>(), around.eth) {
                Way::By(device) => device,
                Way::Later => return M::NEXT,
                Way::TooBig(_) => return drop::<F, M>(medium, DropReason::TooBig),
                Way::Nowhere(reason) => return drop::<F, M>(medium, reason),
            };
            if !medium.unwrap(relayed.overhead) || relayed.write::<F>(medium.frame()).is_err() {
                return drop::<F, M>(medium, DropReason::Unwritable);
            }
            medium.send(device)
        }
    }
}

/// Sends an error about an answer on to the backend's node, as the client's own packets are.
#[inline(always)]
fn pass_on<F: Maps, M: Medium>(medium: M) -> i32 {
    let mut rest = medium.frame();
    let Some(eth) = rest.take::<Eth>() else { return M::NEXT };
    let Ok(message) = Message::<F>::parse(eth, rest) else { return M::NEXT };
    let Some(scratch) = flow::scratch::<F>() else { return M::NEXT };
    match hear(&Kernel { medium }, Hook::Ingress, &message, &mut scratch.key) {
        Heard::About(entry) if entry.recipe.action() == Action::Tunnel => {
            wrap::<F, M>(medium, message, &entry.recipe)
        }
        _ => M::NEXT,
    }
}

#[inline(always)]
fn wrap<F: Maps, M: Medium>(medium: M, message: Message<'_, F>, recipe: &Recipe<F::Addr>) -> i32 {
    if message.ip.hops() <= 1 {
        return drop_translated::<F, M>(medium, recipe, DropReason::HopLimit);
    }
    let size = message.ip.total_len().saturating_add(tunnel::overhead::<F>() as u16);
    match medium.way::<F>(&recipe.src, &recipe.dst, size, message.eth) {
        Way::By(device) => {
            message.ip.decrement_hops();
            let sport = message.entropy();
            match tunnel::wrap::<F, M>(medium, recipe, sport) {
                Some(()) => medium.send(device),
                None => drop_translated::<F, M>(medium, recipe, DropReason::Unwritable),
            }
        }
        Way::Later => M::NEXT,
        Way::TooBig(_) => drop_translated::<F, M>(medium, recipe, DropReason::TooBig),
        Way::Nowhere(reason) => drop_translated::<F, M>(medium, recipe, reason),
    }
}
