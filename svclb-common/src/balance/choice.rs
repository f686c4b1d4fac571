//! What a first packet may choose from.

use crate::{
    balance::{
        affinity::{NOWHERE, returns},
        place::Place,
        scratch::Scratch,
        source::{Side, is_internal, is_masqueraded, is_restricted, list, nobody},
        tables::Tables,
    },
    family::Family,
    service::{AffinityKey, List, Slab},
    verdict::DropReason,
};

/// What a first packet may choose from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// The list that its service's policy names.
    pub(super) slab: Slab,
    /// The place in it of the backend that the client comes back to, or [`NOWHERE`].
    pub(super) home: u32,
    /// Seconds of session affinity.
    pub(super) affinity: u32,
    /// Whether the backend must see the client's own address (`externalTrafficPolicy: Local`).
    pub(super) keeps_source: bool,
}

impl Choice {
    /// Nothing.
    pub(super) const NONE: Self =
        Self { slab: Slab { base: 0, len: 0 }, home: NOWHERE, affinity: 0, keeps_source: false };
}

/// Finds out what the packet in `scratch` may choose from, for the frontend that is there
/// too, and whether it is masqueraded; or why it may not. A flow of which half is kept was admitted before.
///
/// Not inlined, for the stack's sake.
#[inline(never)]
pub(super) fn choose<F: Family, T: Tables<F>>(
    tables: &T,
    scratch: &mut Scratch<F::Addr>,
    place: Place,
) -> Option<DropReason> {
    let is_kept = scratch.is_kept();
    let service = scratch.frontend.service;
    let policy = tables.policy(service);
    let side = Side::of(place);
    let class = side.class(tables, place.ifindex, scratch.key.src);
    scratch.set_masquerades(is_masqueraded(tables, side, class, scratch.frontend, policy));
    let Scratch { key, frontend, client, choice, .. } = scratch;
    if !is_kept && is_restricted(*frontend, policy) && !tables.admits(service, &key.src) {
        return Some(DropReason::SourceRange);
    }
    let list = list(*frontend, policy, || side.is_outside(class));
    choice.slab = tables.slab(service, list);
    choice.affinity = policy.affinity;
    choice.keeps_source = matches!(list, List::Local) && !is_internal(*frontend);
    choice.home = NOWHERE;
    if policy.affinity != 0 {
        *client = AffinityKey { service, client: key.src };
        choice.home = returns(tables, client, choice.slab, policy.affinity);
    }
    (choice.slab.len == 0 && !is_kept).then(|| nobody(policy, list))
}
