//! The place in a list that a new flow is given.

use crate::{
    balance::tables::Tables,
    family::Family,
    hash,
    key::FlowKey,
    service::{Algorithm, Policy, ServiceId, Slab},
};

/// The place in `slab`, from its base, for a new flow of `service`. Whoever goes by a hash asks for the one of the
/// client alone, or of the whole flow.
#[inline(always)]
pub(crate) fn pick<F: Family, T: Tables<F>>(
    tables: &T,
    service: ServiceId,
    policy: Policy,
    slab: Slab,
    hash: impl FnOnce(Algorithm) -> u32,
) -> u32 {
    let number = if policy.chooses_by(Algorithm::Maglev) {
        hash(Algorithm::Maglev)
    } else if policy.chooses_by(Algorithm::SourceHash) {
        hash(Algorithm::SourceHash)
    } else {
        tables.random()
    };
    place(tables, service, policy.flags, slab.pack(), number)
}

/// The place for a flow that has drawn `number`. A function of its own, so that the verifier follows what comes after
/// once; it can have five arguments.
#[inline(never)]
fn place<F: Family, T: Tables<F>>(tables: &T, service: ServiceId, flags: u32, slab: u64, number: u32) -> u32 {
    let (policy, slab) = (Policy { flags, affinity: 0 }, Slab::unpack(slab));
    if policy.chooses_by(Algorithm::RoundRobin) {
        return (tables.turn(service) % u64::from(slab.len.max(1))) as u32;
    }
    let one = slab.select(number).wrapping_sub(slab.base);
    if policy.chooses_by(Algorithm::LeastConn) { lesser(tables, slab, one) } else { one }
}

/// Of two places by chance, `one` and another, the one whose backend has fewer flows in relation to its weight. Two are nearly as good
/// as all (Mitzenmacher, "The power of two choices in randomized load balancing"), and cost the same however long
/// the list is. The first one follows the weights, because backends that weigh more have more slots.
#[inline(always)]
fn lesser<F: Family, T: Tables<F>>(tables: &T, slab: Slab, one: u32) -> u32 {
    if slab.len < 2 {
        return one;
    }
    // Any other place, with equal chances.
    let other = Slab { base: 0, len: slab.len - 1 }.select(tables.random());
    let other = if other < one { other } else { other + 1 };
    let (mine, its) =
        (load(tables, slab.base.wrapping_add(one)), load(tables, slab.base.wrapping_add(other)));
    if u64::from(mine.0) * u64::from(its.1) <= u64::from(its.0) * u64::from(mine.1) { one } else { other }
}

/// The flows of the backend in a slot, and its weight.
#[inline(always)]
fn load<F: Family, T: Tables<F>>(tables: &T, slot: u32) -> (u32, u8) {
    (tables.slot(slot).map_or(0, |backend| tables.active(backend)), tables.weight(slot))
}

/// The hash of a packet's flow for an algorithm that goes by one. A function of its own, for the stack's sake.
#[inline(never)]
pub(super) fn hash_of<F: Family>(key: &FlowKey<F::Addr>, is_client_alone: bool) -> u32 {
    if is_client_alone { hash::of_client(&key.src) } else { hash::of_flow(key) }
}
