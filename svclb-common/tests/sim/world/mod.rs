//! A simulated node: the tables that a kernel would hold, and the way a packet takes
//! through them. What a test asserts is judged by etherparse, not by svclb's own parser.

mod cells;
mod collect;
mod complaint;
mod cost;
mod frame;
mod net;
mod path;
mod pieces;
mod sctp;
mod table;
mod tables;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use svclb_common::{
    balance::{Route, Shown, Tables as _},
    client::{ANY_DEVICE, PodRange},
    config::{DatapathConfig, SocketMode},
    flow::{
        FlowEntry,
        filter::{EraWord, Eras, PLACES},
    },
    fragment::FragmentHead,
    key::FrontendKey,
    line::{LINE, Line},
    packet::Packet,
    service::{
        Affinity, BACKEND_FREE, BACKEND_LOCAL, BackendCell, BackendHead, BackendId, Frontend, FrontendKind,
        LISTS, LOCAL_ADDRESS, LOCAL_NODE_PORTS, List, Policy, ServiceId, ServiceRanges, Slab, Slot,
    },
    snat::PortsMemory,
    socket::SocketPeer,
    wire::{Cursor, Eth, Transport},
};

use cells::{cell, ranges};
pub(crate) use collect::{Entry, Walk};
pub(crate) use complaint::{Complaint, Fault, Told, complaint, ips};
pub(crate) use cost::Cost;
pub(crate) use frame::{
    ACK, FIN, RST, SYN, Sketch, ends, headers, next, open, reply, verify, wrap_from, wrap_in_udp,
};
pub(crate) use net::{
    FAR, FAR2, LO_OUT, NODE, Net, OUTSIDE, PEER, POD, POD_IN, POD_OUT, UPLINK, UPLINK_IN, UPLINK_OUT, VIP,
    VIP2, at,
};
pub(crate) use path::{Sent, Verdict, translated, untouched};
pub(crate) use pieces::{Extension, atomic, cut, extend, join, options, routing};
pub(crate) use svclb_common::balance::Place;
use table::Table;

/// A second, in nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A service cell, in pieces that a test can set one by one.
#[derive(Clone, Copy, Default)]
struct Service {
    slabs: [Slab; LISTS],
    policy: Policy,
}

/// The tables of one family, and the world around them.
pub(crate) struct World<F: Net> {
    pub(crate) config: DatapathConfig,
    frontends: HashMap<Vec<u8>, Frontend>,
    node_ports: HashMap<(u8, u16), ServiceId>,
    locals: Vec<(F::Addr, u32)>,
    services: Vec<Service>,
    slots: Vec<u32>,
    turns: RefCell<HashMap<ServiceId, u64>>,
    rates: RefCell<HashMap<ServiceId, u64>>,
    pub(crate) active: RefCell<HashMap<BackendId, i64>>,
    backends: Vec<BackendCell<F::Addr>>,
    unreachable: Vec<F::Addr>,
    pub(crate) flows: Table<FlowEntry<F::Addr>>,
    pub(crate) half_open: Table<FlowEntry<F::Addr>>,
    filter: Box<[Line]>,
    eras: EraWord,
    sockets: Table<SocketPeer<F::Addr>>,
    /// Whether pods' sockets are to be left alone.
    pub(crate) opted_out: bool,
    pub(crate) affinities: Table<Affinity>,
    pub(crate) searches: Table<PortsMemory>,
    /// What the tables were asked.
    pub(crate) cost: Cost,
    /// Destinations whose way is known.
    routed: RefCell<Vec<F::Addr>>,
    /// Steps of searches for ports.
    pub(crate) steps: Cell<u32>,
    pods: Vec<(u32, PodRange<F::Addr>)>,
    pub(crate) fragments: Table<FragmentHead>,
    source_ranges: Vec<(ServiceId, F::Addr, F::Addr)>,
    cluster_ips: Vec<F::Addr>,
    pub(crate) external_ips: Vec<F::Addr>,
    ranges: ServiceRanges<F::Addr>,
    /// What the ways to other nodes carry, in bytes.
    pub(crate) mtu: Cell<u16>,
    clock: Cell<u64>,
    seed: Cell<u64>,
    pub(crate) picks: RefCell<HashMap<BackendId, u32>>,
    /// What packets have shown of their flows.
    pub(crate) shown: RefCell<Vec<Shown>>,
}

impl<F: Net> World<F> {
    /// A node without Services that translates every packet.
    pub(crate) fn new() -> Self {
        Self {
            config: DatapathConfig::PER_PACKET,
            frontends: HashMap::new(),
            node_ports: HashMap::new(),
            locals: vec![(F::addr(F::host(NODE)), LOCAL_ADDRESS | LOCAL_NODE_PORTS)],
            services: vec![Service::default()],
            slots: Vec::new(),
            turns: RefCell::default(),
            rates: RefCell::default(),
            active: RefCell::default(),
            backends: vec![cell(F::addr(F::host(0)), 0, 0, 0)],
            unreachable: Vec::new(),
            flows: Table::new(usize::MAX),
            half_open: Table::new(usize::MAX),
            filter: (0..PLACES as usize / LINE).map(|_| Line::new()).collect(),
            eras: EraWord::new(Eras::FIRST),
            sockets: Table::new(usize::MAX),
            opted_out: false,
            affinities: Table::new(usize::MAX),
            searches: Table::new(usize::MAX),
            cost: Cost::default(),
            routed: RefCell::default(),
            steps: Cell::new(0),
            pods: Vec::new(),
            fragments: Table::new(usize::MAX),
            source_ranges: Vec::new(),
            cluster_ips: Vec::new(),
            external_ips: Vec::new(),
            ranges: ranges(),
            mtu: Cell::new(1500),
            clock: Cell::new(1000 * SECOND),
            seed: Cell::new(1),
            picks: RefCell::default(),
            shown: RefCell::default(),
        }
    }

    /// Makes this another node, with that address.
    pub(crate) fn with_address(mut self, n: u16) -> Self {
        self.locals = vec![(F::addr(F::host(n)), LOCAL_ADDRESS | LOCAL_NODE_PORTS)];
        self
    }

    /// With these settings as well.
    pub(crate) fn with_flags(mut self, flags: u32) -> Self {
        self.config.flags |= flags;
        self
    }

    /// Lets the half-open flows take `capacity` entries only.
    pub(crate) fn with_half_open(mut self, capacity: usize) -> Self {
        self.half_open = Table::new(capacity);
        self
    }

    /// Translates sockets so.
    pub(crate) fn with_sockets(mut self, mode: SocketMode) -> Self {
        self.config.socket_mode = mode as u32;
        self
    }

    /// Begins the random numbers elsewhere.
    pub(crate) fn with_seed(self, seed: u64) -> Self {
        self.seed.set(seed);
        self
    }

    /// A new backend cell.
    pub(crate) fn add_backend(&mut self, transport: Transport, end: SocketAddr, local: bool) -> BackendId {
        let flags = if local { BACKEND_LOCAL } else { 0 };
        self.backends.push(cell(F::addr(end.ip()), end.port(), transport.number(), flags));
        self.backends.len() as BackendId - 1
    }

    /// A new service cell with these backends.
    pub(crate) fn add_service(&mut self, backends: &[BackendId]) -> ServiceId {
        self.services.push(Service::default());
        let service = self.services.len() as ServiceId - 1;
        self.set_backends(service, backends);
        service
    }

    /// Moves a service to other backends.
    pub(crate) fn set_backends(&mut self, service: ServiceId, backends: &[BackendId]) {
        self.set_list(service, List::Cluster, backends);
    }

    /// Gives one list of a service other backends.
    pub(crate) fn set_list(&mut self, service: ServiceId, list: List, backends: &[BackendId]) {
        let slab = Slab { base: self.slots.len() as u32, len: backends.len() as u32 };
        self.slots.extend(backends);
        self.services[service as usize].slabs[list as usize] = slab;
    }

    /// Gives a service other slots, of backends with weights.
    pub(crate) fn set_slots(&mut self, service: ServiceId, slots: &[(BackendId, u8)]) {
        let words: Vec<_> = slots.iter().map(|&(backend, weight)| Slot { backend, weight }.pack()).collect();
        self.set_backends(service, &words);
    }

    /// Says how a service treats its clients.
    pub(crate) fn set_policy(&mut self, service: ServiceId, flags: u32, affinity: u32) {
        self.services[service as usize].policy = Policy { flags, affinity };
    }

    /// Opens a service's load balancer addresses to a range.
    pub(crate) fn admit(&mut self, service: ServiceId, prefix: IpAddr, len: u32) {
        self.source_ranges.push((service, F::addr(prefix), F::mask(len)));
    }

    /// Says where the pods' addresses are; no bits say nothing.
    pub(crate) fn set_cluster_cidr(&mut self, prefix: IpAddr, len: u32) {
        self.pods.clear();
        if len != 0 {
            self.set_pods(ANY_DEVICE, prefix, len);
        }
    }

    /// Says so of those behind a device.
    pub(crate) fn set_pods(&mut self, ifindex: u32, prefix: IpAddr, len: u32) {
        self.pods.push((ifindex, PodRange { addr: F::addr(prefix), mask: F::mask(len) }));
    }

    /// Makes an address one of the node's own.
    pub(crate) fn add_local(&mut self, ip: IpAddr, flags: u32) {
        self.locals.push((F::addr(ip), flags));
        self.routed.borrow_mut().clear();
    }

    /// Makes an address a `ClusterIP`; together they are in the range of `len` bits.
    pub(crate) fn add_cluster_ip(&mut self, ip: IpAddr, len: u32) {
        self.cluster_ips.push(F::addr(ip));
        self.ranges.cover.addr.store(F::addr(ip));
        self.ranges.cover.mask.store(F::mask(len));
    }

    /// A range of Services' addresses.
    pub(crate) fn add_service_cidr(&mut self, prefix: IpAddr, len: u32) {
        let at = self.ranges.len.load();
        self.ranges.cidrs[at as usize].addr.store(F::addr(prefix));
        self.ranges.cidrs[at as usize].mask.store(F::mask(len));
        self.ranges.len.store(at + 1);
    }

    /// Takes the last such range away, and leaves its bytes where they are.
    pub(crate) fn remove_service_cidr(&mut self) {
        self.ranges.len.store(self.ranges.len.load() - 1);
    }

    /// Names `service` by an exact address.
    pub(crate) fn add_frontend(&mut self, transport: Transport, end: SocketAddr, service: ServiceId) {
        self.add_frontend_of(FrontendKind::ClusterIp, transport, end, service);
    }

    /// The same, by an address of that kind.
    pub(crate) fn add_frontend_of(
        &mut self,
        kind: FrontendKind,
        transport: Transport,
        end: SocketAddr,
        service: ServiceId,
    ) {
        let frontend = Frontend { service, kind: kind as u32 };
        self.frontends.insert(frontend_key::<F>(transport, end), frontend);
    }

    /// Makes whatever a frame is sent to a frontend of `service`, if the frame can be read.
    pub(crate) fn catch(&mut self, frame: &[u8], service: ServiceId) {
        let mut frame = frame.to_vec();
        let mut cursor = Cursor::from(frame.as_mut_slice());
        let Some(eth) = cursor.take::<Eth>() else { return };
        if let Ok(packet) = Packet::<F>::parse(eth, cursor) {
            let frontend = Frontend { service, kind: FrontendKind::ClusterIp as u32 };
            self.frontends.insert(table::frontend_bytes(&packet.frontend()), frontend);
        }
    }

    /// Takes the name away.
    pub(crate) fn remove_frontend(&mut self, transport: Transport, end: SocketAddr) {
        self.frontends.remove(&frontend_key::<F>(transport, end));
    }

    /// Names `service` by a port of every local address.
    pub(crate) fn add_node_port(&mut self, transport: Transport, port: u16, service: ServiceId) {
        self.node_ports.insert((transport.number(), port), service);
    }

    /// A service with one frontend at `vip` and these ends as backends on other nodes.
    pub(crate) fn serve(&mut self, transport: Transport, vip: SocketAddr, ends: &[SocketAddr]) -> ServiceId {
        let backends: Vec<_> = ends.iter().map(|end| self.add_backend(transport, *end, false)).collect();
        let service = self.add_service(&backends);
        self.add_frontend(transport, vip, service);
        service
    }

    /// Gives a backend up as the agent does: its generation grows, and its cell keeps what
    /// it held.
    pub(crate) fn retire(&mut self, backend: BackendId) {
        let cell = &self.backends[backend as usize];
        cell.generation.store(cell.generation.load() + 1);
        let head = BackendHead::unpack(cell.head.load());
        cell.head.store(BackendHead { flags: head.flags | BACKEND_FREE, ..head }.pack());
    }

    /// Takes the route to an address away.
    pub(crate) fn cut(&mut self, ip: IpAddr) {
        self.unreachable.push(F::addr(ip));
        self.routed.borrow_mut().clear();
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, nanoseconds: u64) {
        self.clock.set(self.clock.get() + nanoseconds);
    }

    fn route_to(&self, dst: F::Addr) -> Route {
        if self.is_local(dst) {
            Route::Local
        } else if self.unreachable.contains(&dst) {
            Route::None
        } else {
            Route::Via
        }
    }

    /// splitmix64 (Steele, Lea and Flood, 2014): short, and good enough to be called uniform.
    fn next_random(&self) -> u32 {
        let seed = self.seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.seed.set(seed);
        let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

fn frontend_key<F: Net>(transport: Transport, end: SocketAddr) -> Vec<u8> {
    table::frontend_bytes(&FrontendKey::new(<F as Net>::addr(end.ip()), end.port().to_be(), transport))
}

/// Runs each case for both families and both transports.
macro_rules! everywhere {
    ($($(#[$doc:meta])* fn $name:ident<$family:ident>($transport:ident) $body:block)+) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;
            fn case<$family: $crate::world::Net>($transport: svclb_common::wire::Transport) $body
            #[test] fn tcp4() { case::<svclb_common::family::V4>(svclb_common::wire::Transport::Tcp); }
            #[test] fn udp4() { case::<svclb_common::family::V4>(svclb_common::wire::Transport::Udp); }
            #[test] fn sctp4() { case::<svclb_common::family::V4>(svclb_common::wire::Transport::Sctp); }
            #[test] fn tcp6() { case::<svclb_common::family::V6>(svclb_common::wire::Transport::Tcp); }
            #[test] fn udp6() { case::<svclb_common::family::V6>(svclb_common::wire::Transport::Udp); }
            #[test] fn sctp6() { case::<svclb_common::family::V6>(svclb_common::wire::Transport::Sctp); }
        }
    )+};
}

/// The same without SCTP, whose checksum covers all fragments of a packet and no address.
macro_rules! with_sums {
    ($($(#[$doc:meta])* fn $name:ident<$family:ident>($transport:ident) $body:block)+) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;
            fn case<$family: $crate::world::Net>($transport: svclb_common::wire::Transport) $body
            #[test] fn tcp4() { case::<svclb_common::family::V4>(svclb_common::wire::Transport::Tcp); }
            #[test] fn udp4() { case::<svclb_common::family::V4>(svclb_common::wire::Transport::Udp); }
            #[test] fn tcp6() { case::<svclb_common::family::V6>(svclb_common::wire::Transport::Tcp); }
            #[test] fn udp6() { case::<svclb_common::family::V6>(svclb_common::wire::Transport::Udp); }
        }
    )+};
}

/// Runs each case for both families.
macro_rules! families {
    ($($(#[$doc:meta])* fn $name:ident<$family:ident>() $body:block)+) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;
            fn case<$family: $crate::world::Net>() $body
            #[test] fn v4() { case::<svclb_common::family::V4>(); }
            #[test] fn v6() { case::<svclb_common::family::V6>(); }
        }
    )+};
}

pub(crate) use {everywhere, families, with_sums};
