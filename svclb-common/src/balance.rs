//! From a packet without an established flow to a flow, or to a refusal.
//!
//! This is the cold half of the datapath: it runs for the first packets of a flow
//! and for packets that are no Service's. It knows tables by a trait, so that the
//! host's tests run exactly what the kernel runs.

use crate::{
    config::DatapathConfig,
    family::{Address, Family},
    flow::{Action, Direction, FlowEntry, Owner, Recipe, Step, TICK_NS, Tuple},
    key::{FlowKey, FrontendKey, Hook},
    service::{Backend, BackendId, ServiceId, Slab},
    verdict::DropReason,
    wire::{TcpFlags, Transport},
};

/// What a device leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// A pod of this node.
    Pod,
    /// Everything else: other nodes and the outside. The loopback device is one as
    /// well where host processes are translated per packet.
    Uplink,
}

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the device leads to.
    pub edge: Edge,
    /// Which side of the device.
    pub hook: Hook,
    /// The device.
    pub ifindex: u32,
}

/// How the node reaches an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<A> {
    /// It is the node's own.
    Local,
    /// By a device on which the node calls itself that.
    Via(A),
    /// Not at all.
    None,
}

/// Why a flow entry was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// There is one already.
    Exists,
    /// The table took none.
    Full,
}

/// The tables of a family, and what else a decision needs of the world.
pub trait Tables<F: Family> {
    /// Settings.
    fn config(&self) -> DatapathConfig;
    /// The service cell behind an exact frontend.
    fn frontend(&self, key: FrontendKey<F::Addr>) -> Option<ServiceId>;
    /// The service cell behind a node port; `port` in network byte order.
    fn node_port(&self, transport: Transport, port: u16) -> Option<ServiceId>;
    /// Whether `addr` is one of the node's own.
    fn is_local(&self, addr: F::Addr) -> bool;
    /// The slots of a service.
    fn slab(&self, service: ServiceId) -> Option<Slab>;
    /// The backend in a slot.
    fn slot(&self, slot: u32) -> Option<BackendId>;
    /// The backend in a cell.
    fn backend(&self, id: BackendId) -> Option<Backend<F::Addr>>;
    /// An established flow.
    fn flow(&self, key: FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>>;
    /// A flow that is not established.
    fn half_open(&self, key: FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>>;
    /// Writes an entry of a flow that is not established; an existing one is
    /// replaced only if `replace`.
    fn open(&self, key: FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>, replace: bool) -> Result<(), PutError>;
    /// Makes the half-open entry under `key` an established one.
    fn establish(&self, key: FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>);
    /// Forgets the entry under `key`, established or not.
    fn forget(&self, key: FlowKey<F::Addr>);
    /// How the node reaches `dst`.
    fn route(&self, dst: F::Addr) -> Route<F::Addr>;
    /// A uniformly distributed number.
    fn random(&self) -> u32;
    /// `CLOCK_MONOTONIC_COARSE` in nanoseconds.
    fn now(&self) -> u64;
    /// Counts a new flow.
    fn count_flow(&self, service: ServiceId, backend: BackendId);
}

/// What became of a packet without an established flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It is not to or from a Service: the stack's business.
    NotOurs,
    /// The flow tables now hold what to do with it.
    Known,
    /// Nobody serves this frontend; say so to the sender.
    Refused,
    /// It goes nowhere.
    Dropped(DropReason),
}

/// Whether an established entry still decides this packet, or [`learn`] must look again.
///
/// UDP leaves a backend that is gone; TCP never does (Kubernetes promises that
/// established connections live on). A SYN that opens is looked at again, because
/// clients reuse ports.
#[inline(always)]
pub fn decides<F: Family>(
    entry: &FlowEntry<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
    tables: &impl Tables<F>,
) -> bool {
    !entry.recipe.is_original()
        || match transport {
            Transport::Tcp => !flags.opens(),
            Transport::Udp => is_current(entry, tables),
        }
}

/// Whether the backend that the flow was made for still exists.
#[inline(always)]
fn is_current<F: Family>(entry: &FlowEntry<F::Addr>, tables: &impl Tables<F>) -> bool {
    tables.backend(entry.recipe.backend).is_some_and(|backend| backend.generation == entry.recipe.generation)
}

/// The entry under `key`, established or not.
#[inline(always)]
fn any<F: Family>(tables: &impl Tables<F>, key: FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>> {
    tables.flow(key).or_else(|| tables.half_open(key))
}

/// The other direction of the flow whose entry lies under `key`. What lies under the
/// other key may have become another flow's.
#[inline(always)]
fn peer<'t, F: Family>(
    tables: &'t impl Tables<F>,
    key: FlowKey<F::Addr>,
    entry: &FlowEntry<F::Addr>,
) -> Option<&'t FlowEntry<F::Addr>> {
    any(tables, entry.recipe.peer()).filter(|peer| peer.recipe.peer() == key)
}

/// Whether the connection of a flow has ended, or nobody promises to remember it.
#[inline(always)]
fn is_over<A: Address>(entry: &FlowEntry<A>, peer: Option<&FlowEntry<A>>, now: u64) -> bool {
    entry.is_reset()
        || peer.is_some_and(FlowEntry::is_reset)
        || entry.is_finished() && peer.is_none_or(FlowEntry::is_finished)
        || entry.is_idle(peer, now)
}

/// Whether a packet from the client may go on with the entry that is there.
#[inline(always)]
fn continues<F: Family>(
    entry: &FlowEntry<F::Addr>,
    peer: Option<&FlowEntry<F::Addr>>,
    transport: Transport,
    flags: TcpFlags,
    tables: &impl Tables<F>,
) -> bool {
    match transport {
        Transport::Udp => is_current(entry, tables),
        Transport::Tcp if flags.opens() => {
            let Some(peer) = peer else { return false };
            // Towards a backend that is gone, a SYN that was not answered would only be
            // repeated in vain.
            let answered = peer.is_seen() && peer.seen.load().saturating_add(TICK_NS) >= entry.seen.load();
            (answered || is_current(entry, tables)) && !is_over(entry, Some(peer), tables.now())
        }
        Transport::Tcp => true,
    }
}

/// Frees `key` for a flow that begins with `owner`: takes it from one that is over,
/// both entries at once, so that no packet of that one uses the tuple any more.
///
/// Not inlined: its keys need not lie on the stack beside those of the new flow.
#[inline(never)]
fn claim<F: Family, T: Tables<F>>(tables: &T, key: &FlowKey<F::Addr>, owner: &FlowKey<F::Addr>) -> bool {
    let Some(taken) = any(tables, *key) else { return true };
    let other = taken.recipe.peer();
    if other != *owner {
        let peer = peer(tables, *key, taken);
        if !is_over(taken, peer, tables.now()) {
            return false;
        }
        if peer.is_some() {
            tables.forget(other);
        }
    }
    tables.forget(*key);
    true
}

/// Finds or makes the flow of a packet that no established entry decides.
#[inline(always)]
pub fn learn<F: Family, T: Tables<F>>(
    tables: &T,
    place: Place,
    key: FlowKey<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
) -> Learned {
    let Some(service) = find_service(tables, place, key, transport) else {
        return answer(tables, place, key, transport, flags);
    };
    let mut kept = None;
    if let Some(entry) = any(tables, key) {
        if !entry.recipe.is_original() {
            return Learned::Known;
        }
        let peer_key = entry.recipe.peer();
        let peer = peer(tables, key, entry);
        match peer {
            Some(peer) if continues(entry, Some(peer), transport, flags, tables) => {
                if peer.is_seen() && !flags.any(TcpFlags::SYN | TcpFlags::RST) {
                    // The client has seen the backend's answer: no forged source did that.
                    tables.establish(peer_key, peer);
                    tables.establish(key, entry);
                }
                return Learned::Known;
            }
            None if continues(entry, None, transport, flags, tables) => {
                // The table made room with the other entry: write it again.
                if !is_current(entry, tables) {
                    return Learned::Known;
                }
                kept = Some(Kept { backend: entry.recipe.backend, sport: entry.recipe.sport });
            }
            _ => {
                if peer.is_some() {
                    tables.forget(peer_key);
                }
                tables.forget(key);
            }
        }
    }
    open(tables, place, key, service, kept)
}

/// The service that a packet is sent to, where this hook translates towards services.
#[inline(always)]
fn find_service<F: Family, T: Tables<F>>(
    tables: &T,
    place: Place,
    key: FlowKey<F::Addr>,
    transport: Transport,
) -> Option<ServiceId> {
    let own = |addr: F::Addr| tables.is_local(addr) || place.hook == Hook::Egress && addr.is_loopback();
    if place.hook == Hook::Egress && !(tables.config().translates_host_packets() && own(key.src)) {
        return None;
    }
    tables
        .frontend(FrontendKey::new(key.dst, key.dport, transport))
        .or_else(|| tables.node_port(transport, key.dport).filter(|_| own(key.dst)))
}

/// A packet that is not to a Service: from a backend, perhaps.
#[inline(always)]
fn answer<F: Family, T: Tables<F>>(
    tables: &T,
    place: Place,
    key: FlowKey<F::Addr>,
    transport: Transport,
    flags: TcpFlags,
) -> Learned {
    if flags.opens() {
        // A client that reached the same backend by a Service, and now calls it by its own
        // address from the same port: the answers must keep that address.
        claim(tables, &key.reversed(place.hook.other()), &key);
    }
    match tables.half_open(key) {
        Some(entry) if decides(entry, transport, flags, tables) => Learned::Known,
        _ => Learned::NotOurs,
    }
}

/// How the two directions of a new flow go.
struct Path<A> {
    /// Source address towards the backend.
    src: A,
    /// Whether the source port must be one of ours: the address is shared.
    translates_port: bool,
    there: Step,
    back: Step,
    back_hook: Hook,
}

impl<A> Path<A> {
    /// The client's own address goes to the backend, and the stack carries both ways.
    #[inline(always)]
    fn plain(src: A) -> Self {
        Self {
            src,
            translates_port: false,
            there: Step::plain(Action::Pass),
            back: Step::plain(Action::Pass),
            back_hook: Hook::Egress,
        }
    }
}

/// Chooses the path from the client behind `place` to `backend`.
#[inline(always)]
fn path<F: Family, T: Tables<F>>(
    tables: &T,
    place: Place,
    key: &FlowKey<F::Addr>,
    backend: &Backend<F::Addr>,
) -> Result<Path<F::Addr>, DropReason> {
    match (place.hook, place.edge) {
        // A pod that reaches itself must not see its own address as the client's. The
        // VIP is an address that it sends back to us, and needs nobody's permission.
        (Hook::Ingress, Edge::Pod) if backend.addr == key.src => Ok(Path {
            src: key.dst,
            translates_port: false,
            there: Step::plain(Action::Reflect),
            back: Step::plain(Action::Reflect),
            back_hook: Hook::Ingress,
        }),
        // The reply comes back by the pod's own device, wherever the backend is.
        (Hook::Ingress, Edge::Pod) => Ok(Path::plain(key.src)),
        (Hook::Ingress, Edge::Uplink) if backend.local => Ok(Path::plain(key.src)),
        (Hook::Ingress, Edge::Uplink) => match tables.route(backend.addr) {
            Route::Local => Ok(Path::plain(key.src)),
            Route::Via(source) => Ok(Path {
                src: source,
                translates_port: true,
                there: Step::plain(Action::Forward),
                back: Step::plain(Action::Forward),
                back_hook: Hook::Ingress,
            }),
            Route::None => Err(DropReason::NoRoute),
        },
        (Hook::Egress, _) => match tables.route(backend.addr) {
            // On the loopback device the packet already is where it must go.
            Route::Local if place.ifindex == LOOPBACK_IFINDEX => Ok(Path::plain(key.src)),
            Route::Local => Ok(Path {
                there: Step::deliver(LOOPBACK_IFINDEX),
                back: Step::deliver(place.ifindex),
                ..Path::plain(key.src)
            }),
            Route::Via(source) => {
                let foreign = key.src.is_loopback();
                Ok(Path {
                    src: if foreign { source } else { key.src },
                    translates_port: foreign,
                    there: Step::plain(Action::Forward),
                    back: Step::deliver(place.ifindex),
                    back_hook: Hook::Ingress,
                })
            }
            Route::None => Err(DropReason::NoRoute),
        },
    }
}

/// The loopback device: the first one of every network namespace.
pub const LOOPBACK_IFINDEX: u32 = 1;

/// Backends or ports that are tried before a flow is given up.
const TRIES: u32 = 8;

/// What a flow keeps when its entries are written again.
#[derive(Clone, Copy)]
struct Kept {
    backend: BackendId,
    /// Source port towards the backend, network byte order.
    sport: u16,
}

/// Chooses a backend and writes both entries, the reply's first.
#[inline(always)]
fn open<F: Family, T: Tables<F>>(
    tables: &T,
    place: Place,
    key: FlowKey<F::Addr>,
    service: ServiceId,
    kept: Option<Kept>,
) -> Learned {
    let slab = tables.slab(service).filter(|slab| slab.len != 0);
    let mut attempt = 0;
    while attempt < TRIES {
        let kept = kept.filter(|_| attempt == 0);
        let id = match (kept, slab) {
            (Some(kept), _) => Some(kept.backend),
            (None, Some(slab)) => tables.slot(slab.select(tables.random())),
            (None, None) => return Learned::Refused,
        };
        let Some(backend) = id.and_then(|id| tables.backend(id)) else {
            return Learned::Dropped(DropReason::BrokenTables);
        };
        let path = match path(tables, place, &key, &backend) {
            Ok(path) => path,
            Err(reason) => return Learned::Dropped(reason),
        };
        // Another backend resolves most clashes of a client's own port; the last tries
        // take another port.
        let sport = match kept {
            Some(kept) => kept.sport,
            None if path.translates_port || attempt >= TRIES / 2 => port(tables),
            None => key.sport,
        };
        match put(tables, place.hook, &key, &Choice { backend, path, sport, service }) {
            Ok(()) => {
                if kept.is_none() {
                    tables.count_flow(service, backend.id);
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

/// What was decided for a new flow.
struct Choice<A> {
    backend: Backend<A>,
    path: Path<A>,
    sport: u16,
    service: ServiceId,
}

/// Writes both entries one after the other: only one of them fits on the kernel's stack.
#[inline(always)]
fn put<F: Family, T: Tables<F>>(
    tables: &T,
    hook: Hook,
    key: &FlowKey<F::Addr>,
    choice: &Choice<F::Addr>,
) -> Result<(), PutError> {
    let Choice { backend, path, sport, service } = choice;
    let owner = Owner { service: *service, backend: backend.id, generation: backend.generation };
    let back_key = FlowKey {
        src: backend.addr,
        dst: path.src,
        sport: backend.port,
        dport: *sport,
        hook: path.back_hook as u8,
        ..*key
    };
    if !claim(tables, &back_key, key) {
        return Err(PutError::Exists);
    }
    let now = tables.now();
    let back =
        Written { direction: Direction::Reply, step: path.back, peer_hook: hook, owner, replace: false, now };
    write(tables, &back_key, key, &back)?;
    let there = Written {
        direction: Direction::Original,
        step: path.there,
        peer_hook: path.back_hook,
        owner,
        replace: true,
        now,
    };
    write(tables, key, &back_key, &there)
}

/// What an entry holds besides its keys.
struct Written {
    direction: Direction,
    step: Step,
    peer_hook: Hook,
    owner: Owner,
    replace: bool,
    /// Taken beforehand: a call in between would spill every word of both keys.
    now: u64,
}

/// Writes the entry that makes packets of `key` into answers to packets of `peer`. Not
/// inlined, for the stack's sake.
#[inline(never)]
fn write<F: Family, T: Tables<F>>(
    tables: &T,
    key: &FlowKey<F::Addr>,
    peer: &FlowKey<F::Addr>,
    what: &Written,
) -> Result<(), PutError> {
    let new = Tuple { src: peer.dst, dst: peer.src, sport: peer.dport, dport: peer.sport };
    let recipe = Recipe::new(key, new, what.direction, what.step, what.peer_hook, what.owner);
    tables.open(*key, &FlowEntry::new(recipe, what.now), what.replace)
}
