//! ICMP: errors about translated flows, and echo.

use svclb_common::{
    family::IpHeader as _,
    flow::{Action, FlowEntry, Recipe},
    icmp::{Heard, MESSAGE, Message, hear},
    key::Hook,
    sign::Sign,
    verdict::DropReason,
    wire::Eth,
};

use crate::{
    act::{NOBODY, drop_given_away, drop_translated},
    flow,
    kernel::{Kernel, Maps},
    medium::{Medium, Way},
    pipeline::AROUND,
    recorder::{self, Story},
};

/// Deals with such a packet. A function of its own, for the stack's sake.
#[inline(never)]
pub(crate) fn handle<F: Maps, M: Medium>(medium: M, hook: Hook) -> i32 {
    // What is not there the parser misses.
    let _more = medium.pull(MESSAGE);
    let mut rest = medium.frame();
    let Some(eth) = rest.take::<Eth>() else { return M::NEXT };
    let Ok(mut message) = Message::<F>::parse(eth, rest) else { return M::NEXT };
    let Some(scratch) = flow::scratch::<F>() else { return M::NEXT };
    match hear(&Kernel { medium }, hook, &message, &mut scratch.key) {
        Heard::NotOurs if hook == Hook::Ingress && message.icmp.kind == F::TOO_BIG.0 => AROUND,
        Heard::NotOurs => M::NEXT,
        Heard::About(entry) => relay::<F, M>(medium, message, entry, hook),
        Heard::Echo => {
            message.answer();
            medium.answer(hook)
        }
        Heard::Dropped(reason) => drop_message::<F, M>(medium, &message, hook, reason),
    }
}

/// Counts, reports and drops a message.
#[inline(always)]
fn drop_message<F: Maps, M: Medium>(
    medium: M,
    message: &Message<'_, F>,
    hook: Hook,
    reason: DropReason,
) -> i32 {
    let story = Story {
        cause: reason as u32,
        sport: 0,
        dport: 0,
        proto: F::ICMP,
        hook: hook as u8,
        owner: (0, 0),
        detail: 0,
    };
    recorder::tell::<F, M>(medium, &message.ip.src(), &message.ip.dst(), story);
    M::DROP
}

/// Tells that what a client has sent does not arrive, under the tuple that it was sent as. A function of its own, for
/// the stack's sake.
#[inline(never)]
fn tell_unreachable<F: Maps, M: Medium>(medium: M, recipe: &Recipe<F::Addr>) {
    let Recipe { sport, dport, proto, service, backend, .. } = *recipe;
    let hook = flow::scratch::<F>().map_or(0, |scratch| scratch.key.hook);
    let cause = Sign::Unreachable as u32;
    let owner = (service, backend);
    // The recipe is that for answers: what the client has sent goes the other way.
    let story = Story { cause, sport: dport, dport: sport, proto, hook, owner, detail: 0 };
    recorder::tell::<F, M>(medium, &recipe.dst, &recipe.src, story);
}

/// Sends an error on to who sent what it quotes, as answers to that are.
#[inline(always)]
fn relay<F: Maps, M: Medium>(
    medium: M,
    mut message: Message<'_, F>,
    entry: &FlowEntry<F::Addr>,
    hook: Hook,
) -> i32 {
    let recipe = &entry.recipe;
    let action = recipe.action();
    if !M::carries(action) {
        return M::NEXT;
    }
    if action == Action::Tunnel {
        return AROUND;
    }
    if F::is_unreachable(message.icmp.kind, message.icmp.code) && !recipe.is_original() && recipe.service != 0
    {
        // The program behind does, or it would do so again if the packet cannot leave from here.
        if M::IS_FRAME {
            return M::NEXT;
        }
        tell_unreachable::<F, M>(medium, recipe);
    }
    let ends = message.ends(recipe);
    let mut device = 0;
    if action == Action::Forward {
        if message.ip.hops() <= 1 {
            return drop_translated::<F, M>(medium, recipe, DropReason::HopLimit);
        }
        // Before anything is changed: the packet may have to go on as it is.
        match medium.way::<F>(&ends.src, &ends.dst, message.ip.total_len(), message.eth) {
            Way::By(ifindex) => device = ifindex,
            Way::Later => return M::NEXT,
            Way::TooBig(_) => return drop_translated::<F, M>(medium, recipe, DropReason::TooBig),
            Way::Nowhere(reason) => return drop_translated::<F, M>(medium, recipe, reason),
        }
    }
    match action {
        Action::Forward => message.ip.decrement_hops(),
        Action::Reflect => (message.eth.dst, message.eth.src) = (message.eth.src, message.eth.dst),
        Action::Deliver => message.eth.dst = NOBODY,
        Action::Pass | Action::Tunnel => {}
    }
    message.rewrite(recipe, ends);
    if !flow::holds::<F>(recipe) {
        return drop_given_away::<F, M>(medium);
    }
    match action {
        Action::Pass | Action::Tunnel => medium.pass(),
        Action::Forward => medium.send(device),
        Action::Reflect => medium.reflect(),
        Action::Deliver if hook == Hook::Ingress && entry.hop.device() == medium.ifindex() => medium.pass(),
        Action::Deliver => medium.deliver(),
    }
}
