//! The decision at a socket call: once per connection instead of once per packet.
//!
//! A process that connects, or sends a datagram, to a frontend is given a backend
//! there and then; its packets carry the backend's address from the start. What the
//! process sees stays the frontend: answers' sources and the peer's name are
//! translated back.

use crate::{
    balance::{
        NOWHERE, Tables, has_node_ports, is_restricted, list, may_masquerade_pods, nobody, pick, remember,
        returns, vacant,
    },
    config::SocketMode,
    family::{Address, Family},
    hash::{self, Hash},
    key::{FrontendKey, SocketKey, SocketWay, Wide},
    service::{
        AffinityKey, Algorithm, BackendId, Frontend, FrontendKind, NODE_HAS_INHERITED, Policy,
        SERVICE_ADMITS_HOST, ServiceId,
    },
    verdict::DropReason,
    wire::Transport,
};

/// Value of the translations at sockets: the other end's name.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketPeer<A: Address> {
    /// Address.
    pub addr: A,
    /// Port, network byte order.
    pub port: u16,
    /// Zero.
    pub pad: u16,
    /// The backend cell; 0 where the socket calls the other end by its own name.
    pub backend: BackendId,
    /// Its generation.
    pub generation: u32,
}

/// The tables of a family, with the translations made at sockets.
pub trait SocketTables<F: Family>: Tables<F> {
    /// The translation under `key`.
    fn translation(&self, key: SocketKey<F::Addr>) -> Option<SocketPeer<F::Addr>>;
    /// Writes a translation; the table makes room by itself.
    fn remember(&self, key: SocketKey<F::Addr>, peer: &SocketPeer<F::Addr>);
    /// Says which service cell the call is to, or 0, for who reports that it fails.
    fn note_service(&self, _service: ServiceId) {}
    /// Whether the calling process is in a pod whose sockets are to be left alone.
    fn has_opted_out(&self) -> bool;
}

/// A key beside those of control groups, none of which has this number: it is there where any
/// pod has opted out.
pub const ANY_OPTED_OUT: u64 = 0;

/// The socket that a call is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// `bpf_get_socket_cookie`.
    pub cookie: u64,
    /// Whether its process lives in the agent's network namespace.
    pub in_host: bool,
    /// Its protocol.
    pub transport: Transport,
    /// Its own port, network byte order; 0 while it has none.
    pub port: u16,
    /// Whether each datagram names its destination: then the socket may talk to
    /// many, and keeps to one backend per frontend as a flow does.
    pub unconnected: bool,
    /// Whether it is connected before the call: then the kernel delivers to it what comes from
    /// that one end, whatever it sends to others.
    pub connected: bool,
}

/// What a socket call is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketVerdict<A> {
    /// Go on as asked.
    Keep,
    /// Go on towards this address and port (network byte order).
    To(A, u16),
    /// The call fails with [`errno`].
    Fail(DropReason),
}

/// `EPERM` (errno.h).
const EPERM: i32 = 1;
/// `ECONNREFUSED`.
const ECONNREFUSED: i32 = 111;
/// `EHOSTUNREACH`.
const EHOSTUNREACH: i32 = 113;

/// The error of a call that fails. Where packets are refused it is the one that the
/// refusal leads to; where they are dropped the process is told at once what it would
/// find out by waiting.
#[inline(always)]
pub fn errno(reason: DropReason) -> i32 {
    match reason {
        // Not EAGAIN: who does not block would wait for a connection that nobody makes.
        DropReason::NoBackend | DropReason::UnknownPort | DropReason::RateLimited => ECONNREFUSED,
        DropReason::SourceRange => EPERM,
        _ => EHOSTUNREACH,
    }
}

/// Decides where a connection or a datagram to (`addr`, `port` in network byte order) goes.
#[inline(always)]
pub fn towards<F: Family, T: SocketTables<F>>(
    tables: &T,
    socket: Socket,
    addr: F::Addr,
    port: u16,
) -> SocketVerdict<F::Addr> {
    let mode = tables.socket_mode();
    if mode == SocketMode::Off as u32 || mode == SocketMode::Host as u32 && !socket.in_host {
        return SocketVerdict::Keep;
    }
    // No call is made for what a connected datagram socket sends, so nothing could take it away from
    // a backend that goes. Packets of pods are translated at their devices, where that costs nothing.
    let is_datagram = socket.transport == Transport::Udp;
    if !socket.in_host && is_datagram && (socket.connected || !socket.unconnected) {
        return SocketVerdict::Keep;
    }
    let Some(frontend) = find_frontend(tables, socket, addr, port) else {
        tables.note_service(0);
        if !socket.connected {
            call_by_own_name(tables, socket, addr, port);
        }
        // To connect a datagram socket sends nothing. Resolvers do it to every address that
        // they have found, on any port, for the source address that they would have.
        if is_datagram && !socket.unconnected {
            return SocketVerdict::Keep;
        }
        return match vacant(tables, Wide::new(addr).get()) {
            // A pod's packet is dropped by the programs of its device.
            Some(DropReason::UnallocatedVip) if !socket.in_host => SocketVerdict::Keep,
            Some(_) if !socket.in_host && tables.has_opted_out() => SocketVerdict::Keep,
            Some(reason) => SocketVerdict::Fail(reason),
            None => SocketVerdict::Keep,
        };
    };
    let service = frontend.service;
    tables.note_service(service);
    let policy = tables.policy(service);
    if !socket.in_host && (asks_for_client(tables, frontend, policy) || tables.has_opted_out()) {
        return SocketVerdict::Keep;
    }
    let forward = SocketKey::new(socket.cookie, addr, port, socket.transport, SocketWay::Forward);
    if socket.unconnected
        && let Some(peer) = tables.translation(forward)
        && tables.backend(peer.backend).is_some_and(|backend| backend.generation == peer.generation)
    {
        // A datagram to another frontend with the same backend may have taken the
        // answers' name, or the table made room with it.
        let reverse =
            SocketKey::new(socket.cookie, peer.addr, peer.port, socket.transport, SocketWay::Reverse);
        let name = SocketPeer { addr, port, ..peer };
        if tables.translation(reverse) != Some(name) {
            tables.remember(reverse, &name);
        }
        return SocketVerdict::To(peer.addr, peer.port);
    }
    if is_datagram
        && socket.unconnected
        && tables.policy(0).has(NODE_HAS_INHERITED)
        && is_inherited(tables, &socket, &addr, port)
    {
        return SocketVerdict::Keep;
    }
    if is_restricted(frontend, policy) && !policy.has(SERVICE_ADMITS_HOST) {
        return SocketVerdict::Fail(DropReason::SourceRange);
    }
    let list = list(frontend, policy, || false);
    let slab = tables.slab(service, list);
    if slab.len == 0 {
        return SocketVerdict::Fail(nobody(policy, list));
    }
    let rate = policy.rate();
    if rate != 0 && !tables.takes(service, rate) {
        return SocketVerdict::Fail(DropReason::RateLimited);
    }
    // A socket has no address yet; all processes of the node are one client.
    let client = Wide::new(AffinityKey { service, client: F::Addr::ZERO });
    let home =
        if policy.affinity == 0 { NOWHERE } else { returns(tables, client.get(), slab, policy.affinity) };
    let place = if home == NOWHERE {
        pick(tables, service, policy, slab, |algorithm| hash_of::<F>(socket.cookie, algorithm))
    } else {
        home
    };
    let slot = slab.base.wrapping_add(place);
    let Some(backend) = tables.slot(slot).and_then(|id| tables.backend(id)) else {
        return SocketVerdict::Fail(DropReason::BrokenTables);
    };
    if policy.affinity != 0 {
        remember(tables, client.get(), &backend, slot.wrapping_sub(slab.base));
    }
    let named =
        |addr, port| SocketPeer { addr, port, pad: 0, backend: backend.id, generation: backend.generation };
    // A connected datagram socket may name the end that it is connected to once more, and hears
    // nobody else's answers.
    if is_datagram {
        tables.remember(forward, &named(backend.addr, backend.port));
    }
    let reverse =
        SocketKey::new(socket.cookie, backend.addr, backend.port, socket.transport, SocketWay::Reverse);
    tables.remember(reverse, &named(addr, port));
    tables.count_flow(frontend, backend.id);
    SocketVerdict::To(backend.addr, backend.port)
}

/// What stands in place of a socket where only its port is known, in network byte order: no socket gets such a number.
pub fn inherited_cookie(in_host: bool, port: u16) -> u64 {
    u64::from(u32::MAX) << 32 | u64::from(in_host) << 16 | u64::from(port)
}

/// Whether netfilter translates what a datagram socket sends there, and its backend still is one.
///
/// Not inlined, for the stack's sake.
#[inline(never)]
fn is_inherited<F: Family, T: SocketTables<F>>(
    tables: &T,
    socket: &Socket,
    addr: &F::Addr,
    port: u16,
) -> bool {
    let cookie = inherited_cookie(socket.in_host, socket.port);
    let key = SocketKey::new(cookie, *addr, port, socket.transport, SocketWay::Forward);
    let Some(peer) = tables.translation(key) else { return false };
    tables.backend(peer.backend).is_some_and(|backend| backend.generation == peer.generation)
}

/// A host process goes by its socket where a client goes by its tuple, and all of them are one client.
#[inline(always)]
fn hash_of<F: Family>(cookie: u64, algorithm: Algorithm) -> u32 {
    if algorithm == Algorithm::SourceHash {
        return hash::of_client(&F::Addr::ZERO);
    }
    Hash::new().word(cookie as u32).word((cookie >> 32) as u32).finish()
}

/// An end that is no Service's is called by its own name. The socket may have called it by a
/// Service's before; answers have the name that was used last.
///
/// Not inlined, for the stack's sake.
#[inline(never)]
fn call_by_own_name<F: Family, T: SocketTables<F>>(tables: &T, socket: Socket, addr: F::Addr, port: u16) {
    let reverse = SocketKey::new(socket.cookie, addr, port, socket.transport, SocketWay::Reverse);
    if let Some(peer) = tables.translation(reverse)
        && (peer.addr, peer.port) != (addr, port)
    {
        let itself = SocketPeer { addr, port, pad: 0, backend: 0, generation: 0 };
        tables.remember(reverse, Wide::new(itself).get());
    }
}

/// Whether the decision depends on the client's address, or changes it: a pod's socket may
/// have none yet, so its packets are left to the programs of its device. So are they where flows are counted, because
/// the programs see how a connection ends.
#[inline(always)]
fn asks_for_client<F: Family>(tables: &impl Tables<F>, frontend: Frontend, policy: Policy) -> bool {
    policy.affinity != 0
        || is_restricted(frontend, policy)
        || policy.chooses_by(Algorithm::LeastConn)
        || policy.chooses_by(Algorithm::Maglev)
        || policy.chooses_by(Algorithm::SourceHash)
        || may_masquerade_pods(tables, frontend, policy)
}

#[inline(always)]
fn find_frontend<F: Family, T: SocketTables<F>>(
    tables: &T,
    socket: Socket,
    addr: F::Addr,
    port: u16,
) -> Option<Frontend> {
    if let Some(frontend) = tables.frontend(FrontendKey::new(addr, port, socket.transport)) {
        return Some(frontend);
    }
    // The unspecified address is left alone: the kernel takes it for the caller's own
    // machine, and whoever names it wants what listens there.
    let service = tables.node_port(socket.transport, port)?;
    let is_own = has_node_ports(tables, addr, socket.in_host);
    is_own.then_some(Frontend { service, kind: FrontendKind::NodePort as u32 })
}

/// The frontend that the process named, where the kernel knows a backend.
#[inline(always)]
pub fn named_by<F: Family, T: SocketTables<F>>(
    tables: &T,
    socket: Socket,
    addr: F::Addr,
    port: u16,
) -> Option<(F::Addr, u16)> {
    let key = SocketKey::new(socket.cookie, addr, port, socket.transport, SocketWay::Reverse);
    tables.translation(key).map(|peer| (peer.addr, peer.port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{Addr4, Addr6};

    #[test]
    fn values_have_no_padding() {
        assert_eq!(size_of::<SocketPeer<Addr4>>(), 4 + 2 + 2 + 4 + 4);
        assert_eq!(size_of::<SocketPeer<Addr6>>(), 16 + 2 + 2 + 4 + 4);
    }
}
