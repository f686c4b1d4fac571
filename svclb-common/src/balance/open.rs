//! A new flow: its backend, its port, its two entries.

use crate::{
    balance::{
        Learned,
        affinity::{NOWHERE, remember},
        choice::{Choice, choose},
        path::path,
        place::Place,
        ports::Found,
        scratch::Scratch,
        tables::{PutError, Tables},
        tunnel,
    },
    encap::Carry,
    family::{Address, Family},
    flow::{Direction, Home, Owner, Tuple},
    key::Hook,
    sign::Sign,
    verdict::DropReason,
};

/// Backends that are tried before a flow is given up.
const TRIES: u64 = 8;

/// Chooses a backend for the frontend in `scratch` and writes both entries. Of a flow of
/// which half is kept, the backend and the port are tried first that are in `scratch`.
#[inline(always)]
pub(super) fn open<F: Carry, T: Tables<F>>(
    tables: &T,
    place: Place,
    scratch: &mut Scratch<F::Addr>,
) -> Learned {
    if let Some(reason) = choose(tables, scratch, place) {
        return goes_nowhere(reason);
    }
    scratch.found = Found::Nothing as u32;
    if !tables.ask(scratch) {
        return Learned::Dropped(DropReason::RateLimited);
    }
    // As wide as a slot of the stack: the verifier forgets what a narrower number there was.
    let mut attempt = 0_u64;
    while attempt < TRIES {
        let keeps = attempt == 0 && scratch.is_kept();
        if !keeps && let Err(reason) = select(tables, scratch, attempt == 0) {
            return goes_nowhere(reason);
        }
        // What was source-translated stays so, or the backend would see another client.
        let tunnels = !keeps && tunnel::tunnels(tables, &scratch.key, scratch.frontend);
        if let Err(reason) = path(tables, place, scratch, tunnels) {
            return Learned::Dropped(reason);
        }
        // Another backend resolves most clashes of a client's own port; the last tries take
        // another port, and so does a client that comes back to its backend.
        let clashes = if scratch.choice.home == NOWHERE { attempt >= TRIES / 2 } else { attempt != 0 };
        attempt += 1;
        let is_one_way = scratch.path.is_one_way();
        if keeps || is_one_way || !(scratch.path.translates_port || clashes) {
            let sport = if keeps { scratch.sport } else { scratch.key.sport };
            scratch.aim(sport);
            if !is_one_way && !tables.claim(scratch) {
                continue;
            }
        } else if !tables.find_port(scratch) {
            continue;
        }
        match write(tables, place.hook, scratch) {
            Ok(()) => {
                if !keeps {
                    tables.count_flow(scratch.frontend, scratch.backend.id);
                    tables.add_active(scratch.backend.id, 1);
                    if scratch.choice.policy.affinity != 0 {
                        remember(tables, &scratch.client, &scratch.backend, scratch.place);
                    }
                    switched(scratch);
                }
                scratch.home = Home::HalfOpen as u32;
                return Learned::Known;
            }
            // Another CPU was faster.
            Err(PutError::Exists) => scratch.found = Found::NotYet as u32,
            Err(PutError::Full) => return Learned::Dropped(DropReason::FlowTableFull),
        }
    }
    let reason = DropReason::PortsExhausted;
    // A client that is dropped comes again, and finds the search further on.
    if scratch.found == Found::Nothing as u32 { Learned::Refused(reason) } else { Learned::Dropped(reason) }
}

/// Tells of a client that had another backend before.
#[inline(always)]
fn switched<A: Address>(scratch: &mut Scratch<A>) {
    if scratch.shown.former != 0 {
        scratch.shown.set(Sign::BackendSwitched as u32, scratch.frontend.service, scratch.backend.id);
    }
}

/// What becomes of a packet that has no backend.
#[inline(always)]
fn goes_nowhere(reason: DropReason) -> Learned {
    match reason {
        DropReason::NoBackend => Learned::Refused(reason),
        reason => Learned::Dropped(reason),
    }
}

/// Puts the backend into `scratch` that the client comes back to or, in the first try, the one that the service's
/// algorithm names; or else a random one.
#[inline(always)]
fn select<F: Family, T: Tables<F>>(
    tables: &T,
    scratch: &mut Scratch<F::Addr>,
    is_first: bool,
) -> Result<(), DropReason> {
    let Choice { slab, home, first, .. } = scratch.choice;
    if slab.len == 0 {
        // A flow that was to be kept, whose tuple is another's now.
        return Err(DropReason::NoBackend);
    }
    scratch.place = match (home, is_first) {
        (NOWHERE, true) => first,
        (NOWHERE, false) => slab.select(tables.random()).wrapping_sub(slab.base),
        (home, _) => home,
    };
    let backend = tables.slot(slab.base.wrapping_add(scratch.place)).and_then(|id| tables.backend(id));
    scratch.backend = backend.ok_or(DropReason::BrokenTables)?;
    Ok(())
}

/// Writes both entries. Not inlined, for the stack's sake.
#[inline(never)]
pub(super) fn write<F: Family, T: Tables<F>>(
    tables: &T,
    hook: Hook,
    scratch: &mut Scratch<F::Addr>,
) -> Result<(), PutError> {
    let now = tables.now();
    let Scratch { key, peer, backend, sport, path, entry, frontend, .. } = scratch;
    let owner = Owner { service: frontend.service, backend: backend.id, generation: backend.generation };
    if !path.is_one_way() {
        let to_client = Tuple { src: key.dst, dst: key.src, sport: key.dport, dport: key.sport };
        entry.recipe.fill(peer, to_client, Direction::Reply, path.back.action, hook, owner);
        entry.begin(now, path.back);
        tables.open(peer, entry, false)?;
    }
    let to_backend = Tuple { src: path.src, dst: backend.addr, sport: *sport, dport: backend.port };
    entry.recipe.fill(key, to_backend, Direction::Original, path.there.action, path.back_hook, owner);
    entry.begin(now, path.there);
    tables.open(key, entry, true)
}
