//! Session affinity: the backend that a client comes back to.

use crate::{
    balance::tables::Tables,
    family::Family,
    service::{Affinity, AffinityKey, Backend, Slab},
};

/// No place of a list.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// How many places of a list are searched for a backend that has moved. In a longer list
/// they are those around the old place: other backends come and go, and move the rest by a few.
const SEARCHED: u32 = 512;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// Where in `slab` the backend stands that the client of `key` comes back to, or
/// [`NOWHERE`]: it never came, `seconds` have passed since it last opened a connection, or
/// its backend is gone or not in this list.
#[inline(never)]
pub(crate) fn returns<F: Family, T: Tables<F>>(
    tables: &T,
    key: &AffinityKey<F::Addr>,
    slab: Slab,
    seconds: u32,
) -> u32 {
    let Some(Affinity { backend, generation, seen, place, .. }) = tables.affinity(key) else {
        return NOWHERE;
    };
    if tables.now().saturating_sub(seen) >= u64::from(seconds) * SECOND {
        return NOWHERE;
    }
    if tables.backend(backend).is_none_or(|found| found.generation != generation) {
        return NOWHERE;
    }
    if place < slab.len && tables.slot(slab.base.wrapping_add(place)) == Some(backend) {
        return place;
    }
    // The whole list if it is short, else what is around the old place.
    let start = place.saturating_sub(SEARCHED / 2).min(slab.len.saturating_sub(SEARCHED));
    let mut turn = 0;
    while turn < SEARCHED {
        let at = start + turn;
        if at >= slab.len {
            return NOWHERE;
        }
        if tables.slot(slab.base.wrapping_add(at)) == Some(backend) {
            return at;
        }
        turn += 1;
    }
    NOWHERE
}

/// Remembers that the client of `key` has opened a connection to the backend at `place`. A
/// function of its own, for the stack's sake.
#[inline(never)]
pub(crate) fn remember<F: Family, T: Tables<F>>(
    tables: &T,
    key: &AffinityKey<F::Addr>,
    backend: &Backend<F::Addr>,
    place: u32,
) {
    let Backend { id, generation, .. } = *backend;
    tables.keep_affinity(key, &Affinity { backend: id, generation, seen: tables.now(), place, pad: 0 });
}
