//! Session affinity: the backend that a client comes back to.

use crate::{
    balance::tables::{Repeat, Tables},
    family::Family,
    service::{Affinity, AffinityKey, Backend, BackendId, Slab},
};

/// No place of a list.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// How many places are searched for a backend that has moved, half of them on either side of the old
/// one: other backends come and go, and move the rest by a few.
const SEARCHED: u32 = 1024;

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
    // A list that has become shorter has no such place any more.
    let old = place.min(slab.len.saturating_sub(1));
    let mut search = Search { tables, slab, backend, old, turn: 0, found: NOWHERE };
    // The whole list if it is short.
    let steps = slab.len.saturating_mul(2).min(SEARCHED);
    if steps != 0 {
        let _is_complete = tables.repeat(steps, &mut search);
    }
    search.found
}

/// A search on its way, from the old place outwards.
struct Search<'a, T> {
    tables: &'a T,
    slab: Slab,
    backend: BackendId,
    old: u32,
    turn: u32,
    found: u32,
}

impl<F: Family, T: Tables<F>> Repeat<F> for Search<'_, T> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let away = self.turn / 2 + self.turn % 2;
        let is_behind = self.turn.is_multiple_of(2);
        self.turn = self.turn.wrapping_add(1);
        let at = if is_behind { self.old.wrapping_add(away) } else { self.old.wrapping_sub(away) };
        if at < self.slab.len && self.tables.slot(self.slab.base.wrapping_add(at)) == Some(self.backend) {
            self.found = at;
        }
        self.found != NOWHERE
    }
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
