//! A new flow: its backend, its port, its two entries.

use crate::{
    balance::{
        Learned,
        affinity::{NOWHERE, remember},
        choice::{Choice, choose},
        life::claim,
        path::path,
        place::Place,
        scratch::Scratch,
        source::{Side, is_internal},
        tables::{PutError, Tables},
        tunnel,
    },
    config::MASQUERADE_ALL,
    encap::Carry,
    family::Family,
    flow::{Direction, Owner, Tuple},
    key::{FlowKey, Hook},
    service::Slab,
    verdict::DropReason,
};

/// Backends or ports that are tried before a flow is given up.
const TRIES: u64 = 8;

/// Chooses a backend for the frontend in `scratch` and writes both entries. Of a flow of
/// which half is kept, the backend and the port are tried first that are in `scratch`.
#[inline(always)]
pub(super) fn open<F: Carry, T: Tables<F>>(
    tables: &T,
    place: Place,
    scratch: &mut Scratch<F::Addr>,
) -> Learned {
    if let Some(reason) = choose(tables, scratch, Side::of(place)) {
        return goes_nowhere(reason);
    }
    // As wide as a slot of the stack: the verifier forgets what a narrower number there was.
    let mut attempt = 0_u64;
    while attempt < TRIES {
        let keeps = attempt == 0 && scratch.is_kept();
        if !keeps && let Err(reason) = select(tables, scratch) {
            return goes_nowhere(reason);
        }
        let masquerades = is_internal(scratch.frontend) && tables.is_set(MASQUERADE_ALL);
        // What was source-translated stays so, or the backend would see another client.
        let tunnels = !keeps && tunnel::tunnels(tables, &scratch.key, scratch.frontend);
        let Scratch { key, backend, source, .. } = scratch;
        scratch.path = match path(tables, place, key, backend, source, masquerades, tunnels) {
            Ok(path) => path,
            Err(reason) => return Learned::Dropped(reason),
        };
        if !keeps {
            // Another backend resolves most clashes of a client's own port; the last tries take
            // another port, and so does a client that comes back to its backend.
            let clashes = if scratch.choice.home == NOWHERE { attempt >= TRIES / 2 } else { attempt != 0 };
            let translates_port = scratch.path.translates_port || clashes;
            scratch.sport = if translates_port { port(tables) } else { scratch.key.sport };
        }
        match put(tables, place.hook, scratch) {
            Ok(()) => {
                if !keeps {
                    tables.count_flow(scratch.frontend.service, scratch.backend.id);
                    if scratch.choice.affinity != 0 {
                        remember(tables, &scratch.client, &scratch.backend, scratch.place);
                    }
                }
                return Learned::Known;
            }
            Err(PutError::Exists) => {}
            Err(PutError::Full) => return Learned::Dropped(DropReason::FlowTableFull),
        }
        attempt += 1;
    }
    Learned::Dropped(DropReason::PortsExhausted)
}

/// What becomes of a packet that has no backend.
#[inline(always)]
fn goes_nowhere(reason: DropReason) -> Learned {
    match reason {
        DropReason::NoBackend => Learned::Refused(reason),
        reason => Learned::Dropped(reason),
    }
}

/// Puts the backend into `scratch` that the client comes back to, or a random one.
#[inline(always)]
fn select<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> Result<(), DropReason> {
    let Choice { slab, home, .. } = scratch.choice;
    if slab.len == 0 {
        // A flow that was to be kept, whose tuple is another's now.
        return Err(DropReason::NoBackend);
    }
    scratch.place = if home == NOWHERE { slab.select(tables.random()).wrapping_sub(slab.base) } else { home };
    let backend = tables.slot(slab.base.wrapping_add(scratch.place)).and_then(|id| tables.backend(id));
    scratch.backend = backend.ok_or(DropReason::BrokenTables)?;
    Ok(())
}

/// A random port of the range for source translation, network byte order.
#[inline(always)]
pub(super) fn port<F: Family>(tables: &impl Tables<F>) -> u16 {
    let (min, max) = tables.snat_ports();
    let ports = u32::from(max - min) + 1;
    let offset = Slab { base: 0, len: ports }.select(tables.random());
    (min + offset as u16).to_be()
}

/// Takes the tuple of the flow that `scratch` describes and writes its entries, the reply's
/// first.
#[inline(always)]
pub(super) fn put<F: Family, T: Tables<F>>(
    tables: &T,
    hook: Hook,
    scratch: &mut Scratch<F::Addr>,
) -> Result<(), PutError> {
    scratch.peer = FlowKey {
        src: scratch.backend.addr,
        dst: scratch.path.src,
        sport: scratch.backend.port,
        dport: scratch.sport,
        proto: scratch.key.proto,
        hook: scratch.path.back_hook as u8,
        pad: 0,
    };
    if !scratch.path.is_one_way() && !claim(tables, scratch) {
        return Err(PutError::Exists);
    }
    write(tables, hook, scratch)
}

/// Writes both entries. Not inlined, for the stack's sake.
#[inline(never)]
fn write<F: Family, T: Tables<F>>(
    tables: &T,
    hook: Hook,
    scratch: &mut Scratch<F::Addr>,
) -> Result<(), PutError> {
    let now = tables.now();
    let Scratch { key, peer, backend, sport, path, entry, frontend, .. } = scratch;
    let owner = Owner { service: frontend.service, backend: backend.id, generation: backend.generation };
    if !path.is_one_way() {
        let to_client = Tuple { src: key.dst, dst: key.src, sport: key.dport, dport: key.sport };
        entry.recipe.fill(peer, to_client, Direction::Reply, path.back, hook, owner);
        entry.begin(now);
        tables.open(peer, entry, false)?;
    }
    let to_backend = Tuple { src: path.src, dst: backend.addr, sport: *sport, dport: backend.port };
    entry.recipe.fill(key, to_backend, Direction::Original, path.there, path.back_hook, owner);
    entry.begin(now);
    tables.open(key, entry, true)
}
