//! The decision at a socket call, by the live maps, without a socket and without a word in any map.
//!
//! The kernel runs no socket program on trial. So the programs' own code runs here, over tables that are read.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, SocketAddr},
};

use svclb_common::{
    balance::{PutError, Repeat, Route, Tables as Decides},
    client::PodRange,
    config::DatapathConfig,
    family::{V4, V6},
    flow::FlowEntry,
    fragment::{FragmentHead, FragmentKey},
    key::{FlowKey, FrontendKey, SocketKey},
    layout::map,
    service::{
        Affinity, AffinityKey, Backend, BackendId, Frontend, List, Policy, ServiceId, ServiceRanges, Slab,
        Slot, Turn, node_port_index, turn,
    },
    snat::{PortsKey, PortsMemory},
    socket::{Socket, SocketPeer, SocketTables, SocketVerdict, towards},
    verdict::DropReason,
    wire::Transport,
};

use crate::{
    datapath::{
        Error, clock,
        family::MapFamily,
        pins::Pins,
        recorder::Counters,
        tables::{FamilyTables, Hash, Tables, open_array, open_hash},
    },
    sys::mapped::{Access, MappedArray},
};

/// What a socket call is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It goes on as asked: packets are translated, or nobody translates.
    Kept,
    /// It goes to this backend.
    To(SocketAddr),
    /// It fails.
    Fails(DropReason),
}

/// What `connect` to `to` is told, of a process of the host's network or of a pod's.
pub fn connect(
    pins: &Pins,
    tables: &Tables,
    config: &DatapathConfig,
    in_host: bool,
    transport: Transport,
    to: SocketAddr,
) -> Result<Told, Error> {
    let socket = Socket { cookie: 0, in_host, transport, port: 0, unconnected: false, connected: false };
    // Of a datagram socket that names each destination, as most do, more is translated.
    let socket = if transport == Transport::Udp { Socket { unconnected: true, ..socket } } else { socket };
    match to.ip() {
        IpAddr::V4(_) => decide::<V4>(pins, &tables.v4, config, socket, to),
        IpAddr::V6(_) => decide::<V6>(pins, &tables.v6, config, socket, to),
    }
}

fn decide<F: MapFamily>(
    pins: &Pins,
    tables: &FamilyTables<F>,
    config: &DatapathConfig,
    socket: Socket,
    to: SocketAddr,
) -> Result<Told, Error> {
    let Some(addr) = F::address(to.ip()) else { return Ok(Told::Kept) };
    let host = Host::<F> {
        tables,
        config,
        locals: open_hash(pins, &F::map(map::LOCALS))?,
        pods: open_hash(pins, &F::map(map::PODS))?,
        ranges: open_array(pins, &F::map(map::RANGES), Access::Read)?,
        affinities: open_hash(pins, &F::map(map::AFFINITIES))?,
        counters: Counters::open(pins)?,
    };
    Ok(match towards::<F, _>(&host, socket, addr, to.port().to_be()) {
        SocketVerdict::Keep => Told::Kept,
        SocketVerdict::To(addr, port) => Told::To(SocketAddr::new(addr.into(), u16::from_be(port))),
        SocketVerdict::Fail(reason) => Told::Fails(reason),
    })
}

/// The live maps, read.
struct Host<'t, F: MapFamily> {
    tables: &'t FamilyTables<F>,
    config: &'t DatapathConfig,
    locals: Hash<F::Addr, u32>,
    pods: Hash<u32, PodRange<F::Addr>>,
    ranges: MappedArray<ServiceRanges<F::Addr>>,
    affinities: Hash<AffinityKey<F::Addr>, Affinity>,
    counters: Counters,
}

/// What a socket call does not ask for is empty, and what it writes is nowhere.
impl<F: MapFamily> Decides<F> for Host<'_, F> {
    fn socket_mode(&self) -> u32 {
        self.config.socket_mode
    }
    fn snat_ports(&self) -> (u16, u16) {
        (self.config.snat_port_min, self.config.snat_port_max)
    }
    fn is_set(&self, flag: u32) -> bool {
        self.config.flags & flag != 0
    }
    fn timeout(&self, _number: u32) -> u64 {
        0
    }
    fn pods_behind(&self, ifindex: u32) -> Option<PodRange<F::Addr>> {
        self.pods.get(&ifindex, 0).or_else(|_| self.pods.get(&svclb_common::client::ANY_DEVICE, 0)).ok()
    }
    fn frontend(&self, key: FrontendKey<F::Addr>) -> Option<Frontend> {
        self.tables.frontends.map.get(&key, 0).ok()
    }
    fn node_port(&self, transport: Transport, port: u16) -> Option<ServiceId> {
        let service = self.tables.node_ports.get(node_port_index(transport, port))?.load();
        (service != 0).then_some(service)
    }
    fn local(&self, addr: F::Addr) -> u32 {
        self.locals.get(&addr, 0).unwrap_or(0)
    }
    fn policy(&self, service: ServiceId) -> Policy {
        self.tables.services.get(service).map_or(Policy::default(), |cell| Policy::unpack(cell.policy.load()))
    }
    fn slab(&self, service: ServiceId, list: List) -> Slab {
        self.tables.services.get(service).map_or(Slab::default(), |cell| cell.slab(list))
    }
    fn slot(&self, slot: u32) -> Option<BackendId> {
        self.tables.slots.get(slot).map(|word| Slot::backend_of(word.load()))
    }
    fn weight(&self, slot: u32) -> u8 {
        self.tables.slots.get(slot).map_or(1, |word| Slot::weight_of(word.load()))
    }
    fn takes(&self, service: ServiceId, rate: u32) -> bool {
        let entrance = self.counters.entrance(F::MODEL, service).unwrap_or_default();
        !matches!(turn(entrance.due, self.now(), rate), Turn::None)
    }
    fn turn(&self, service: ServiceId) -> u64 {
        self.counters.entrance(F::MODEL, service).unwrap_or_default().turns
    }
    fn active(&self, id: BackendId) -> u32 {
        let count = self.tables.active.get(id).map_or(0, |count| count.load().cast_signed().max(0));
        u32::try_from(count).unwrap_or(u32::MAX)
    }
    fn add_active(&self, _id: BackendId, _change: i64) {}
    fn backend(&self, id: BackendId) -> Option<Backend<F::Addr>> {
        self.tables.backends.get(id)?.read(id)
    }
    fn affinity(&self, key: &AffinityKey<F::Addr>) -> Option<Affinity> {
        self.affinities.get(key, 0).ok()
    }
    fn keep_affinity(&self, _key: &AffinityKey<F::Addr>, _affinity: &Affinity) {}
    fn admits(&self, _service: ServiceId, _addr: &F::Addr) -> bool {
        true
    }
    fn ranges(&self) -> Option<&ServiceRanges<F::Addr>> {
        self.ranges.get(0)
    }
    fn is_cluster_ip(&self, addr: &F::Addr) -> bool {
        self.tables.cluster_ips.get(addr, 0).is_ok()
    }
    fn is_external_ip(&self, addr: &F::Addr) -> bool {
        self.tables.external_ips.get(addr, 0).is_ok()
    }
    fn may_hold(&self, _key: &FlowKey<F::Addr>) -> bool {
        false
    }
    fn flow(&self, _key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>> {
        None
    }
    fn half_open(&self, _key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>> {
        None
    }
    fn open(&self, _: &FlowKey<F::Addr>, _: &FlowEntry<F::Addr>, _: bool) -> Result<(), PutError> {
        Ok(())
    }
    fn establish(&self, _: &FlowKey<F::Addr>, _: &FlowEntry<F::Addr>, _: &mut FlowEntry<F::Addr>) {}
    fn retire(&self, _: &FlowKey<F::Addr>, _: &FlowEntry<F::Addr>, _: &mut FlowEntry<F::Addr>) {}
    fn forget(&self, _key: &FlowKey<F::Addr>) {}
    fn fragment(&self, _key: &FragmentKey<F::Addr>) -> Option<FragmentHead> {
        None
    }
    fn keep_fragment(&self, _key: &FragmentKey<F::Addr>, _head: &FragmentHead) {}
    fn route(&self, _dst: &F::Addr, _source: &mut F::Addr) -> Route {
        Route::None
    }
    fn searched(&self, _key: &PortsKey<F::Addr>) -> Option<PortsMemory> {
        None
    }
    fn keep_search(&self, _key: &PortsKey<F::Addr>, _memory: &PortsMemory) {}
    fn repeat<R: Repeat<F>>(&self, steps: u32, repeat: &mut R) -> bool {
        for _ in 0..steps {
            if repeat.step() {
                break;
            }
        }
        true
    }
    fn fits(&self, _dst: &F::Addr, _bytes: u16) -> bool {
        true
    }
    fn random(&self) -> u32 {
        // Each state hashes with keys of its own.
        RandomState::new().hash_one(0_u32) as u32
    }
    fn now(&self) -> u64 {
        clock::now()
    }
    fn count_flow(&self, _frontend: Frontend, _backend: BackendId) {}
}

impl<F: MapFamily> SocketTables<F> for Host<'_, F> {
    fn translation(&self, _key: SocketKey<F::Addr>) -> Option<SocketPeer<F::Addr>> {
        None
    }
    fn remember(&self, _key: SocketKey<F::Addr>, _peer: &SocketPeer<F::Addr>) {}
    fn has_opted_out(&self) -> bool {
        false
    }
}
