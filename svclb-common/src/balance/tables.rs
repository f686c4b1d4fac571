//! The tables of a family, and what else a decision needs of the world.

use crate::{
    config::SocketMode,
    family::Family,
    flow::FlowEntry,
    key::{FlowKey, FrontendKey},
    service::{
        Affinity, AffinityKey, Backend, BackendId, Frontend, List, Policy, ServiceId, ServiceRanges, Slab,
    },
    wire::Transport,
};

/// How the node reaches an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It is the node's own.
    Local,
    /// By a device that carries our programs.
    Via,
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
    /// The [`SocketMode`]. Settings are asked for one by one: all of them together do not fit
    /// on a BPF stack.
    fn socket_mode(&self) -> u32;
    /// Lowest and highest port for source translation, host byte order.
    fn snat_ports(&self) -> (u16, u16);
    /// Whether the setting `flag` is on: [`MASQUERADE_ALL`](crate::config::MASQUERADE_ALL) and its like.
    fn is_set(&self, flag: u32) -> bool;
    /// The pods' addresses, as an address and its mask; a mask of zeros says nothing.
    fn cluster_cidr(&self) -> [F::Addr; 2];
    /// The exact frontend.
    fn frontend(&self, key: FrontendKey<F::Addr>) -> Option<Frontend>;
    /// The service cell behind a node port; `port` in network byte order.
    fn node_port(&self, transport: Transport, port: u16) -> Option<ServiceId>;
    /// [`LOCAL_ADDRESS`](crate::service::LOCAL_ADDRESS) and its like; 0 for an address that
    /// is none of the node's own.
    fn local(&self, addr: F::Addr) -> u32;
    /// How a service treats its clients.
    fn policy(&self, service: ServiceId) -> Policy;
    /// The slots of one of a service's lists.
    fn slab(&self, service: ServiceId, list: List) -> Slab;
    /// The backend in a slot.
    fn slot(&self, slot: u32) -> Option<BackendId>;
    /// The backend in a cell.
    fn backend(&self, id: BackendId) -> Option<Backend<F::Addr>>;
    /// The backend that a client comes back to.
    fn affinity(&self, key: &AffinityKey<F::Addr>) -> Option<Affinity>;
    /// Writes the backend that a client comes back to; the table makes room by itself.
    fn keep_affinity(&self, key: &AffinityKey<F::Addr>, affinity: &Affinity);
    /// Whether the source ranges of a service admit `addr`.
    fn admits(&self, service: ServiceId, addr: &F::Addr) -> bool;
    /// Where addresses of Services are.
    fn ranges(&self) -> Option<&ServiceRanges<F::Addr>>;
    /// Whether `addr` is a `ClusterIP`.
    fn is_cluster_ip(&self, addr: &F::Addr) -> bool;
    /// An established flow.
    fn flow(&self, key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>>;
    /// A flow that is not established.
    fn half_open(&self, key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>>;
    /// Writes an entry of a flow that is not established; an existing one is
    /// replaced only if `replace`.
    fn open(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>, replace: bool)
    -> Result<(), PutError>;
    /// Makes the half-open entry under `key` an established one.
    fn establish(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>);
    /// Makes an established entry under `key` one that is not: its connection has ended.
    fn retire(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>);
    /// Forgets the entry under `key`, established or not.
    fn forget(&self, key: &FlowKey<F::Addr>);
    /// How the node reaches `dst`; with [`Route::Via`], `source` becomes the address that
    /// the node uses on the way.
    fn route(&self, dst: &F::Addr, source: &mut F::Addr) -> Route;
    /// Whether packets of `bytes` bytes reach `dst`, as far as the node knows of the way.
    fn fits(&self, dst: &F::Addr, bytes: u16) -> bool;
    /// A uniformly distributed number.
    fn random(&self) -> u32;
    /// `CLOCK_MONOTONIC_COARSE` in nanoseconds.
    fn now(&self) -> u64;
    /// Counts a new flow.
    fn count_flow(&self, service: ServiceId, backend: BackendId);

    /// Whether `addr` is one of the node's own.
    #[inline(always)]
    fn is_local(&self, addr: F::Addr) -> bool {
        self.local(addr) != 0
    }

    /// Whether packets of host processes are translated on their way out.
    #[inline(always)]
    fn translates_host_packets(&self) -> bool {
        self.socket_mode() == SocketMode::Off as u32
    }
}
