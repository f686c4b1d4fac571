//! What a first packet may choose from.

use crate::{
    balance::{
        affinity::{NOWHERE, returns},
        pick::{hash_of, pick},
        scratch::Scratch,
        source::{Side, is_restricted, list, nobody},
        tables::Tables,
    },
    family::Family,
    service::{Algorithm, AffinityKey, Slab},
    verdict::DropReason,
};

/// What a first packet may choose from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// The list that its service's policy names.
    pub(super) slab: Slab,
    /// The place in it of the backend that the client comes back to, or [`NOWHERE`].
    pub(super) home: u32,
    /// The place that the service's algorithm names for the first try.
    pub(super) first: u32,
    /// Seconds of session affinity.
    pub(super) affinity: u32,
}

impl Choice {
    /// Nothing.
    pub(super) const NONE: Self = Self { slab: Slab { base: 0, len: 0 }, home: NOWHERE, first: 0, affinity: 0 };
}

/// Finds out what the packet in `scratch` may choose from, for the frontend that is there
/// too; or why it may not. A flow of which half is kept was admitted before.
///
/// Not inlined, for the stack's sake.
#[inline(never)]
pub(super) fn choose<F: Family, T: Tables<F>>(
    tables: &T,
    scratch: &mut Scratch<F::Addr>,
    side: Side,
) -> Option<DropReason> {
    let is_kept = scratch.is_kept();
    let Scratch { key, frontend, client, choice, .. } = scratch;
    let service = frontend.service;
    let policy = tables.policy(service);
    if !is_kept && is_restricted(*frontend, policy) && !tables.admits(service, &key.src) {
        return Some(DropReason::SourceRange);
    }
    let list = list(*frontend, policy, || side.is_outside(tables, key.src));
    choice.slab = tables.slab(service, list);
    choice.affinity = policy.affinity;
    choice.home = NOWHERE;
    if policy.affinity != 0 {
        *client = AffinityKey { service, client: key.src };
        choice.home = returns(tables, client, choice.slab, policy.affinity);
    }
    if choice.slab.len == 0 {
        return (!is_kept).then(|| nobody(policy, list));
    }
    if choice.home == NOWHERE {
        let hash = |algorithm| hash_of::<F>(key, algorithm == Algorithm::SourceHash);
        choice.first = pick(tables, service, policy, choice.slab, hash);
    }
    None
}
