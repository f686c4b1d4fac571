//! Direct server return: backends on other nodes that answer outside clients by themselves.
//!
//! The node that a client sends to chooses the backend, and sends every packet of the flow to that
//! backend's own address in another packet. The node of the backend finds that address in its
//! own tables, so nothing has to be known of nodes, and nothing is learnt from a first packet:
//! each one names both the address that the client knows and the backend.

use crate::{
    balance::{
        Learned,
        life::any,
        open::write,
        path::Path,
        scratch::Scratch,
        source::{is_internal, is_restricted},
        tables::{PutError, Repeat, Tables},
    },
    config::{BPF_LOOP, DSR_GUE, DSR_TCP, DSR_UDP},
    encap::{Carry, Encapsulation},
    family::{Address as _, Family},
    flow::Home,
    key::{FlowKey, FrontendKey, Hook},
    service::{BackendId, Frontend, FrontendKind, List, ServiceId, Slab},
    verdict::DropReason,
    wire::{TcpFlags, Transport},
};

/// Whether the backends of such flows answer outside clients by themselves.
#[inline(always)]
pub(super) fn tunnels<F: Family>(
    tables: &impl Tables<F>,
    key: &FlowKey<F::Addr>,
    frontend: Frontend,
) -> bool {
    let setting = if key.proto == Transport::Tcp.number() { DSR_TCP } else { DSR_UDP };
    tables.is_set(setting) && !is_internal(frontend)
}

/// Whether the way to a backend has room for the smallest packet that every sender may rely on,
/// and the outer headers. Where it has not, no answer would make the sender fit.
#[inline(always)]
pub(super) fn has_room<F: Carry>(tables: &impl Tables<F>, backend: &F::Addr) -> bool {
    let encapsulation = Encapsulation::of(tables.is_set(DSR_GUE));
    tables.fits(backend, F::MIN_MTU + encapsulation.overhead::<F>() as u16)
}

/// How many places of each list are searched for a backend on kernels without `bpf_loop`. The endpoints of
/// this node are in a list of their own where the agent knows that others send here.
const SEARCHED: u32 = 64;

/// The backend at `addr` in one of a service's lists; 0 is none. Not inlined, for the stack's sake.
#[inline(never)]
fn find<F: Family, T: Tables<F>>(tables: &T, service: ServiceId, list: List, addr: &F::Addr) -> BackendId {
    let slab = tables.slab(service, list);
    if slab.len == 0 {
        return 0;
    }
    let mut search = Search { tables, addr, at: slab.base, id: 0 };
    if tables.is_set(BPF_LOOP) {
        tables.repeat(slab.len, &mut search);
        return search.id;
    }
    let mut turn = 0_u64;
    while turn < u64::from(SEARCHED) {
        if turn >= u64::from(slab.len) || search.step() {
            break;
        }
        turn += 1;
    }
    search.id
}

/// A search on its way through the slots of a list.
struct Search<'a, T, A> {
    tables: &'a T,
    addr: &'a A,
    at: u32,
    id: BackendId,
}

impl<F: Family, T: Tables<F>> Repeat<F> for Search<'_, T, F::Addr> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Self { tables, addr, at, id } = self;
        if let Some(found) = tables.slot(*at)
            && tables.backend(found).is_some_and(|backend| backend.addr.is(**addr))
        {
            *id = found;
            return true;
        }
        *at = at.wrapping_add(1);
        false
    }
}

/// Whether [`find`] looks at all places of a list.
#[inline(always)]
fn is_searched<F: Family>(tables: &impl Tables<F>, slab: Slab) -> bool {
    tables.is_set(BPF_LOOP) || slab.len <= SEARCHED
}

/// Forgets the flow of an inner packet if that must not follow it: it goes on to somewhere else than to
/// a backend of this node, or the client uses its port again, or the node that it sends to has
/// chosen anew.
#[inline(never)]
pub(super) fn settle<F: Family, T: Tables<F>>(
    tables: &T,
    scratch: &mut Scratch<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
) {
    let Some(entry) = any(tables, &scratch.key) else { return };
    let is_new = !transport.connects() || flags.opens();
    if entry.recipe.is_delivered() && (!is_new || entry.recipe.dst.is(scratch.source)) {
        return;
    }
    scratch.peer = entry.recipe.peer();
    // Frees the other direction's tuple, unless it is another flow's.
    if !entry.recipe.is_one_way() {
        let _freed = tables.claim(scratch);
    }
    tables.forget(&scratch.key);
}

/// [`find_frontend`](super::find_frontend) for an inner packet: only outside clients' packets travel
/// so, and node ports are those of another node's addresses, so that the port alone says what is meant.
#[inline(never)]
pub(super) fn find_frontend<F: Family, T: Tables<F>>(
    tables: &T,
    scratch: &mut Scratch<F::Addr>,
    transport: Transport,
) -> bool {
    let Scratch { key, frontend, .. } = scratch;
    if let Some(found) = tables.frontend(FrontendKey::new(key.dst, key.dport, transport)) {
        *frontend = found;
        return !is_internal(found);
    }
    let Some(service) = tables.node_port(transport, key.dport) else { return false };
    *frontend = Frontend { service, kind: FrontendKind::NodePort as u32 };
    true
}

/// Writes the flow of an inner packet to the backend that the outer one goes to; or to that in
/// `scratch`, if half of the flow is kept.
#[inline(always)]
pub(super) fn open<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> Learned {
    if !scratch.is_kept()
        && let Some(learned) = seek(tables, scratch)
    {
        return learned;
    }
    match pin(tables, scratch) {
        None => {
            scratch.home = Home::HalfOpen as u32;
            if !scratch.is_kept() {
                tables.count_flow(scratch.frontend, scratch.backend.id);
            }
            Learned::Known
        }
        Some(reason) => Learned::Dropped(reason),
    }
}

/// Puts the backend into `scratch` that the outer packet goes to; or what becomes of the packet instead.
#[inline(always)]
fn seek<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> Option<Learned> {
    let Frontend { service, kind } = scratch.frontend;
    let mut id = find(tables, service, List::Local, &scratch.source);
    if id == 0 {
        id = find(tables, service, List::Cluster, &scratch.source);
    }
    if id == 0 {
        id = find(tables, service, List::Idle, &scratch.source);
    }
    match if id == 0 { None } else { tables.backend(id) } {
        Some(backend) if backend.local => scratch.backend = backend,
        // On its way to another node.
        Some(_) => return Some(Learned::NotOurs),
        // It may be; and a node port is known by its port alone here, which others may use as well.
        None if !is_searched(tables, tables.slab(service, List::Cluster))
            || kind == FrontendKind::NodePort as u32 =>
        {
            return Some(Learned::NotOurs);
        }
        None => return Some(Learned::Dropped(DropReason::BadTunnel)),
    }
    // The other node has asked the same; but anybody can send a packet in a packet.
    let policy = tables.policy(service);
    if is_restricted(scratch.frontend, policy) && !tables.admits(service, &scratch.key.src) {
        return Some(Learned::Dropped(DropReason::SourceRange));
    }
    scratch.sport = scratch.key.sport;
    None
}

/// A random port of the range for source translation, network byte order.
#[inline(always)]
fn port<F: Family>(tables: &impl Tables<F>) -> u16 {
    let (min, max) = tables.snat_ports();
    let ports = u32::from(max - min) + 1;
    let offset = Slab { base: 0, len: ports }.select(tables.random());
    (min + offset as u16).to_be()
}

/// Ports that are tried before a flow is given up.
const PORTS: u64 = 3;

/// Writes the flow to the backend in `scratch`, or tells why not. A function of its own, for the
/// stack's sake.
#[inline(never)]
fn pin<F: Family, T: Tables<F>>(tables: &T, scratch: &mut Scratch<F::Addr>) -> Option<DropReason> {
    let mut attempt = 0_u64;
    while attempt < PORTS {
        scratch.path = Path::plain(scratch.key.src);
        scratch.aim(scratch.sport);
        if tables.claim(scratch) {
            match write(tables, Hook::Ingress, scratch) {
                Ok(()) => return None,
                Err(PutError::Exists) => {}
                Err(PutError::Full) => return Some(DropReason::FlowTableFull),
            }
        }
        // The client talks to this backend from the same port already, by another address.
        scratch.sport = port(tables);
        attempt += 1;
    }
    Some(DropReason::PortsExhausted)
}
