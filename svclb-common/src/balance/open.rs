//! A new flow: its backend, its port, its two entries.

use crate::{
    balance::{
        Learned,
        life::claim,
        path::path,
        place::Place,
        scratch::Scratch,
        tables::{PutError, Tables},
    },
    family::Family,
    flow::{Direction, Owner, Tuple},
    key::{FlowKey, Hook},
    service::{ServiceId, Slab},
    verdict::DropReason,
};

/// Backends or ports that are tried before a flow is given up.
const TRIES: u32 = 8;

/// Chooses a backend and writes both entries. If `is_kept`, the backend and the port that
/// are in `scratch` are tried first: half of a flow is written again.
#[inline(always)]
pub(super) fn open<F: Family, T: Tables<F>>(
    tables: &T,
    place: Place,
    scratch: &mut Scratch<F::Addr>,
    service: ServiceId,
    is_kept: bool,
) -> Learned {
    let mut attempt = 0;
    while attempt < TRIES {
        let keeps = is_kept && attempt == 0;
        if !keeps {
            let Some(slab) = tables.slab(service).filter(|slab| slab.len != 0) else {
                return Learned::Refused;
            };
            let random = tables.random();
            let Some(backend) = tables.slot(slab.select(random)).and_then(|id| tables.backend(id)) else {
                return Learned::Dropped(DropReason::BrokenTables);
            };
            scratch.backend = backend;
        }
        let Scratch { key, backend, source, .. } = scratch;
        scratch.path = match path(tables, place, key, backend, source) {
            Ok(path) => path,
            Err(reason) => return Learned::Dropped(reason),
        };
        if !keeps {
            // Another backend resolves most clashes of a client's own port; the last tries
            // take another port.
            let translates_port = scratch.path.translates_port || attempt >= TRIES / 2;
            scratch.sport = if translates_port { port(tables) } else { scratch.key.sport };
        }
        match put(tables, place.hook, scratch, service) {
            Ok(()) => {
                if !keeps {
                    tables.count_flow(service, scratch.backend.id);
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

/// A random port of the range for source translation, network byte order.
#[inline(always)]
fn port<F: Family>(tables: &impl Tables<F>) -> u16 {
    let config = tables.config();
    let ports = u32::from(config.snat_port_max - config.snat_port_min) + 1;
    let offset = Slab { base: 0, len: ports }.select(tables.random());
    (config.snat_port_min + offset as u16).to_be()
}

/// Takes the tuple of the flow that `scratch` describes and writes its entries, the reply's
/// first.
#[inline(always)]
fn put<F: Family, T: Tables<F>>(
    tables: &T,
    hook: Hook,
    scratch: &mut Scratch<F::Addr>,
    service: ServiceId,
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
    if !claim(tables, scratch) {
        return Err(PutError::Exists);
    }
    write(tables, hook, scratch, service)
}

/// Writes both entries. Not inlined, for the stack's sake.
#[inline(never)]
fn write<F: Family, T: Tables<F>>(
    tables: &T,
    hook: Hook,
    scratch: &mut Scratch<F::Addr>,
    service: ServiceId,
) -> Result<(), PutError> {
    let now = tables.now();
    let Scratch { key, peer, backend, sport, path, entry, .. } = scratch;
    let owner = Owner { service, backend: backend.id, generation: backend.generation };
    let to_client = Tuple { src: key.dst, dst: key.src, sport: key.dport, dport: key.sport };
    entry.recipe.fill(peer, to_client, Direction::Reply, path.back, hook, owner);
    entry.begin(now);
    tables.open(peer, entry, false)?;
    let to_backend = Tuple { src: path.src, dst: backend.addr, sport: *sport, dport: backend.port };
    entry.recipe.fill(key, to_backend, Direction::Original, path.there, path.back_hook, owner);
    entry.begin(now);
    tables.open(key, entry, true)
}
