//! The tables of a family, and what else a decision needs of the world.

use crate::{
    balance::{choice::ask, life::claim, ports::find_port, scratch::Scratch},
    client::PodRange,
    config::SocketMode,
    family::Family,
    flow::FlowEntry,
    fragment::{FragmentHead, FragmentKey},
    key::{FlowKey, FrontendKey},
    service::{
        Affinity, AffinityKey, Backend, BackendId, Frontend, List, Policy, ServiceId, ServiceRanges, Slab,
    },
    snat::{PortsKey, PortsMemory},
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

/// How many steps [`Tables::repeat`] takes at most without `bpf_loop`: the verifier follows each of them.
pub const STEPS: u32 = 8;

/// Something that is done step by step.
pub trait Repeat<F: Family> {
    /// Takes a step. Returns whether it was the last one.
    fn step(&mut self) -> bool;
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
    /// For how long a flow is remembered after its last packet, in nanoseconds, by the number of its
    /// [`FlowState`](crate::flow::FlowState).
    fn timeout(&self, number: u32) -> u64;
    /// Which clients behind a device are local pods; none if nobody is told apart.
    fn pods_behind(&self, ifindex: u32) -> Option<PodRange<F::Addr>>;
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
    /// The weight of the backend in a slot.
    fn weight(&self, slot: u32) -> u8;
    /// Whether a service takes one more new flow, of `rate` a second; if so, it is counted.
    fn takes(&self, service: ServiceId, rate: u32) -> bool;
    /// The next turn of a service: numbers in ascending order, each once.
    fn turn(&self, service: ServiceId) -> u64;
    /// How many flows and connections a backend has.
    fn active(&self, id: BackendId) -> u32;
    /// Notes that a backend has that many more, or fewer.
    fn add_active(&self, id: BackendId, change: i64);
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
    /// Whether `addr` is an external address of a Service, or a load balancer's.
    fn is_external_ip(&self, addr: &F::Addr) -> bool;
    /// Whether a flow table may hold an entry under `key`: if not, none does.
    fn may_hold(&self, key: &FlowKey<F::Addr>) -> bool;
    /// An established flow.
    fn flow(&self, key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>>;
    /// A flow that is not established.
    fn half_open(&self, key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>>;
    /// Writes an entry of a flow that is not established; an existing one is
    /// replaced only if `replace`.
    fn open(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>, replace: bool)
    -> Result<(), PutError>;
    /// Makes the half-open entry under `key` an established one. `copy` is memory for it.
    fn establish(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>, copy: &mut FlowEntry<F::Addr>);
    /// Makes an established entry under `key` one that is not: its connection has ended. `copy` is memory for it.
    fn retire(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>, copy: &mut FlowEntry<F::Addr>);
    /// Forgets the entry under `key`, established or not.
    fn forget(&self, key: &FlowKey<F::Addr>);
    /// What the first fragment of a datagram has told.
    fn fragment(&self, key: &FragmentKey<F::Addr>) -> Option<FragmentHead>;
    /// Notes what the first fragment of a datagram tells; the table makes room by itself.
    fn keep_fragment(&self, key: &FragmentKey<F::Addr>, head: &FragmentHead);
    /// How the node reaches `dst`; with [`Route::Via`], `source` becomes the address that
    /// the node uses on the way.
    fn route(&self, dst: &F::Addr, source: &mut F::Addr) -> Route;
    /// What is remembered of a search for a port that found none.
    fn searched(&self, key: &PortsKey<F::Addr>) -> Option<PortsMemory>;
    /// Remembers one; the table makes room by itself.
    fn keep_search(&self, key: &PortsKey<F::Addr>, memory: &PortsMemory);
    /// Takes so many steps, at least one, unless one of them is the last. Returns whether it did: on
    /// kernels without `bpf_loop` it takes [`STEPS`] at most.
    fn repeat<R: Repeat<F>>(&self, steps: u32, repeat: &mut R) -> bool;
    /// [`claim`](super::claim). The programs override it by a call that the verifier follows once, not
    /// once for each way that leads there.
    fn claim(&self, scratch: &mut Scratch<F::Addr>) -> bool
    where
        Self: Sized,
    {
        claim(self, scratch)
    }
    /// [`ask`](super::ask), likewise.
    fn ask(&self, scratch: &mut Scratch<F::Addr>) -> bool
    where
        Self: Sized,
    {
        ask(self, scratch)
    }
    /// [`find_port`](super::find_port), likewise.
    fn find_port(&self, scratch: &mut Scratch<F::Addr>) -> bool
    where
        Self: Sized,
    {
        find_port(self, scratch)
    }
    /// Whether packets of `bytes` bytes reach `dst`, as far as the node knows of the way.
    fn fits(&self, dst: &F::Addr, bytes: u16) -> bool;
    /// A uniformly distributed number.
    fn random(&self) -> u32;
    /// `CLOCK_MONOTONIC_COARSE` in nanoseconds.
    fn now(&self) -> u64;
    /// Counts a new flow.
    fn count_flow(&self, frontend: Frontend, backend: BackendId);

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
