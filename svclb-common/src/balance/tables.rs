//! The tables of a family, and what else a decision needs of the world.

use crate::{
    config::DatapathConfig,
    family::Family,
    flow::FlowEntry,
    key::{FlowKey, FrontendKey},
    service::{Backend, BackendId, ServiceId, Slab},
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
    /// A uniformly distributed number.
    fn random(&self) -> u32;
    /// `CLOCK_MONOTONIC_COARSE` in nanoseconds.
    fn now(&self) -> u64;
    /// Counts a new flow.
    fn count_flow(&self, service: ServiceId, backend: BackendId);
}
