//! Packets that are parts of a datagram, or whose headers are not the usual ones.

use crate::{
    balance::{
        Learned, is_inner, learn,
        life::{any, decides},
        place::Place,
        scratch::{Scratch, Shown},
        tables::Tables,
        translates_towards,
        vacant::vacant,
    },
    encap::Carry,
    family::Family,
    flow::Home,
    fragment::{FragmentHead, FragmentKey},
    verdict::DropReason,
    wire::{TcpFlags, Transport},
};

/// [`learn`], for a packet whose outline is in `scratch` as well as its key. It may be one of
/// an established flow, and what it tells of the fragments behind it is noted.
#[inline(always)]
pub fn learn_part<F: Carry, T: Tables<F>>(
    tables: &T,
    place: Place,
    scratch: &mut Scratch<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
) -> Learned {
    scratch.shown = Shown::default();
    let is_inner = is_inner(place, scratch);
    let is_known = !scratch.outline.is_plain() && is_established(tables, scratch, transport, flags, is_inner);
    if is_known {
        scratch.home = Home::Flows as u32;
    }
    let learned = if is_known { Learned::Known } else { learn(tables, place, scratch, transport, flags) };
    if scratch.outline.is_first() && learned == Learned::Known {
        note(tables, scratch);
    }
    learned
}

#[inline(never)]
fn is_established<F: Family, T: Tables<F>>(
    tables: &T,
    scratch: &Scratch<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
    is_inner: bool,
) -> bool {
    tables.flow(&scratch.key).is_some_and(|entry| {
        decides(entry, transport, flags, tables) && (!is_inner || scratch.is_to(&entry.recipe))
    })
}

/// Notes the first fragment that `scratch` describes.
#[inline(never)]
fn note<F: Family, T: Tables<F>>(tables: &T, scratch: &Scratch<F::Addr>) {
    let Scratch { key, outline, .. } = scratch;
    let head =
        FragmentHead { seen: tables.now(), sport: key.sport, dport: key.dport, proto: key.proto.into() };
    tables.keep_fragment(&FragmentKey::new::<F>(key, *outline), &head);
}

/// Finds the flow of a fragment without a transport header: the key in `scratch`, which has
/// addresses and hook only, gets what the first fragment has told.
///
/// One to a Service that cannot be followed goes nowhere: the stack would send it astray.
/// Any other is the stack's; of an answer that is one of many that reassemble to nothing.
#[inline(always)]
pub fn follow<F: Family, T: Tables<F>>(tables: &T, place: Place, scratch: &mut Scratch<F::Addr>) -> Learned {
    if scratch.outline.is_later() && recollect(tables, scratch) {
        return Learned::Known;
    }
    if !translates_towards(tables, place, &scratch.key) {
        return Learned::NotOurs;
    }
    match vacant(tables, &scratch.key.dst) {
        None if is_away(tables, &scratch.key.dst) => Learned::Dropped(DropReason::UnknownFragment),
        None => Learned::NotOurs,
        Some(DropReason::UnallocatedVip) => Learned::Dropped(DropReason::UnallocatedVip),
        Some(_) => Learned::Dropped(DropReason::UnknownFragment),
    }
}

/// Whether an address is an external one of a Service. Where the node has it as well, its stack
/// reassembles what comes.
#[inline(never)]
fn is_away<F: Family, T: Tables<F>>(tables: &T, addr: &F::Addr) -> bool {
    tables.is_external_ip(addr) && !tables.is_local(*addr)
}

/// [`follow`], for a fragment that came in another packet: whether its flow is one to the backend that
/// that packet goes to.
#[inline(always)]
pub fn follow_inner<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> bool {
    scratch.outline.is_later()
        && recollect(tables, scratch)
        && any(tables, &scratch.key).is_some_and(|entry| scratch.is_to(&entry.recipe))
}

/// Completes the key in `scratch` by what the first fragment has told, if a flow has it then.
#[inline(never)]
fn recollect<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> bool {
    let Scratch { key, outline, .. } = scratch;
    let Some(head) = tables.fragment(&FragmentKey::new::<F>(key, *outline)) else { return false };
    if tables.now().saturating_sub(head.seen) > F::REASSEMBLY {
        return false;
    }
    (key.sport, key.dport, key.proto) = (head.sport, head.dport, head.proto as u8);
    any(tables, key).is_some()
}
