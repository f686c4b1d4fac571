//! What a first packet may choose from.

use crate::{
    balance::{
        affinity::{NOWHERE, returns},
        pick::{hash_of, pick},
        place::Place,
        scratch::Scratch,
        source::{Side, class_counts, is_internal, is_masqueraded, is_restricted, list, nobody},
        tables::Tables,
    },
    family::Family,
    service::{AffinityKey, Algorithm, List, Policy, Slab},
    verdict::DropReason,
};

/// What a first packet may choose from.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// The list that its service's policy names.
    pub(super) slab: Slab,
    /// The place in it of the backend that the client comes back to, or that a hash names, or [`NOWHERE`].
    pub(super) home: u32,
    /// Whether the backend must see the client's own address (`externalTrafficPolicy: Local`).
    pub(super) keeps_source: bool,
    /// The place that the service's algorithm names for the first try.
    pub(super) first: u32,
    /// The service's policy.
    pub(super) policy: Policy,
}

impl Choice {
    /// Nothing.
    pub(super) const NONE: Self = Self {
        slab: Slab { base: 0, len: 0 },
        home: NOWHERE,
        keeps_source: false,
        first: 0,
        policy: Policy { flags: 0, affinity: 0 },
    };
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
    let counts = class_counts(tables, side, scratch.frontend, policy);
    let class = if counts { side.class(tables, place.ifindex, scratch.key.src) } else { None };
    scratch.set_masquerades(is_masqueraded(tables, side, class, scratch.frontend, policy));
    let Scratch { key, frontend, client, choice, .. } = scratch;
    if !is_kept && is_restricted(*frontend, policy) && !tables.admits(service, &key.src) {
        return Some(DropReason::SourceRange);
    }
    let list = list(*frontend, policy, || side.is_outside(class));
    choice.slab = tables.slab(service, list);
    choice.keeps_source = matches!(list, List::Local) && !is_internal(*frontend);
    choice.policy = policy;
    choice.home = NOWHERE;
    if policy.affinity != 0 {
        *client = AffinityKey { service, client: key.src };
        choice.home = returns(tables, client, choice.slab, policy.affinity);
    }
    (choice.slab.len == 0 && !is_kept).then(|| nobody(policy, list))
}

/// Finds out whether the client of the packet in `scratch` has lost a backend: that of the flow that had its tuple, or the
/// one that it came back to. `scratch.shown` names it then, and nothing else.
#[inline(always)]
fn look_back<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) {
    let Scratch { choice, client, shown, .. } = scratch;
    if shown.former != 0 {
        let found = tables.backend(shown.former);
        if found.is_some_and(|backend| backend.generation == shown.generation) {
            shown.former = 0;
        }
    }
    // It does come back, if there is a home.
    if choice.policy.affinity != 0
        && choice.home == NOWHERE
        && let Some(before) = tables.affinity(client)
        && tables.now().saturating_sub(before.seen) < u64::from(choice.policy.affinity) * SECOND
    {
        shown.former = before.backend;
    }
}

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// Asks whether the service takes one more new flow, and its algorithm for the place of the packet in `scratch`, unless
/// its client comes back to another. False is that it does not. A flow of which half is kept is not new.
///
/// A function of its own, because the verifier would follow it for each place that [`choose`] may have found.
#[inline(always)]
pub fn ask<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> bool {
    look_back(tables, scratch);
    let is_kept = scratch.is_kept();
    let Scratch { key, frontend, choice, .. } = scratch;
    let rate = choice.policy.rate();
    if rate != 0 && !is_kept && !tables.takes(frontend.service, rate) {
        return false;
    }
    if choice.home == NOWHERE {
        let hash = |algorithm| hash_of::<F>(key, algorithm == Algorithm::SourceHash);
        choice.first = pick(tables, frontend.service, choice.policy, choice.slab, hash);
        if choice.policy.chooses_by(Algorithm::Maglev) || choice.policy.chooses_by(Algorithm::SourceHash) {
            // A clash takes another port: all nodes agree about the backend.
            choice.home = choice.first;
        }
    }
    true
}
