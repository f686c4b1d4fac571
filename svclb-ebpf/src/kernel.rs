//! The datapath's [`Tables`], made of the maps.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use svclb_common::{
    balance::{PutError, Route, Tables},
    encap::Carry,
    flow::FlowEntry,
    key::{FlowKey, FrontendKey},
    refuse::TooBig,
    service::{
        Affinity, AffinityKey, Backend, BackendId, Frontend, List, Policy, ServiceId, ServiceRanges, Slab,
    },
    wire::Transport,
};

use crate::{
    backend, backend::BackendMaps, client, client::ClientMaps, config, config::FamilyConfig, flow,
    flow::FlowMaps, frontend, frontend::FrontendMaps, medium::Medium, observe, route, route::RouteMaps,
};

/// All maps of a family.
pub(crate) trait Maps:
    FrontendMaps + BackendMaps + ClientMaps + FlowMaps + RouteMaps + FamilyConfig + Carry + TooBig
{
}
impl<F> Maps for F where
    F: FrontendMaps + BackendMaps + ClientMaps + FlowMaps + RouteMaps + FamilyConfig + Carry + TooBig
{
}

/// The tables as a packet sees them.
pub(crate) struct Kernel<M> {
    /// The packet, whose device the routes are asked for.
    pub(crate) medium: M,
}

/// The part of [`Tables`] that does not depend on what the program handles.
macro_rules! maps_as_tables {
    () => {
        #[inline(always)]
        fn socket_mode(&self) -> u32 {
            config::socket_mode()
        }
        #[inline(always)]
        fn snat_ports(&self) -> (u16, u16) {
            config::snat_ports()
        }
        #[inline(always)]
        fn is_set(&self, flag: u32) -> bool {
            config::is_set(flag)
        }
        #[inline(always)]
        fn cluster_cidr(&self) -> [F::Addr; 2] {
            F::cluster_cidr()
        }
        #[inline(always)]
        fn frontend(&self, key: FrontendKey<F::Addr>) -> Option<Frontend> {
            frontend::lookup::<F>(key)
        }
        #[inline(always)]
        fn node_port(&self, transport: Transport, port: u16) -> Option<ServiceId> {
            frontend::node_port::<F>(transport, port)
        }
        #[inline(always)]
        fn local(&self, addr: F::Addr) -> u32 {
            frontend::local::<F>(addr)
        }
        #[inline(always)]
        fn policy(&self, service: ServiceId) -> Policy {
            backend::policy::<F>(service)
        }
        #[inline(always)]
        fn slab(&self, service: ServiceId, list: List) -> Slab {
            backend::slab::<F>(service, list)
        }
        #[inline(always)]
        fn affinity(&self, key: &AffinityKey<F::Addr>) -> Option<Affinity> {
            client::affinity::<F>(key)
        }
        #[inline(always)]
        fn keep_affinity(&self, key: &AffinityKey<F::Addr>, affinity: &Affinity) {
            client::keep::<F>(key, affinity);
        }
        #[inline(always)]
        fn admits(&self, service: ServiceId, addr: &F::Addr) -> bool {
            client::admits::<F>(service, addr)
        }
        #[inline(always)]
        fn ranges(&self) -> Option<&ServiceRanges<F::Addr>> {
            frontend::ranges::<F>()
        }
        #[inline(always)]
        fn is_cluster_ip(&self, addr: &F::Addr) -> bool {
            frontend::is_cluster_ip::<F>(addr)
        }
        #[inline(always)]
        fn slot(&self, slot: u32) -> Option<BackendId> {
            backend::slot::<F>(slot)
        }
        #[inline(always)]
        fn backend(&self, id: BackendId) -> Option<Backend<F::Addr>> {
            backend::backend::<F>(id)
        }
        #[inline(always)]
        fn flow(&self, key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>> {
            flow::find::<F>(key)
        }
        #[inline(always)]
        fn half_open(&self, key: &FlowKey<F::Addr>) -> Option<&FlowEntry<F::Addr>> {
            flow::half_open::<F>(key)
        }
        #[inline(always)]
        fn open(
            &self,
            key: &FlowKey<F::Addr>,
            entry: &FlowEntry<F::Addr>,
            replace: bool,
        ) -> Result<(), PutError> {
            flow::open::<F>(key, entry, replace)
        }
        #[inline(always)]
        fn establish(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>) {
            flow::establish::<F>(key, entry);
        }
        #[inline(always)]
        fn retire(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>) {
            flow::retire::<F>(key, entry);
        }
        #[inline(always)]
        fn forget(&self, key: &FlowKey<F::Addr>) {
            flow::forget::<F>(key);
        }
        #[inline(always)]
        fn random(&self) -> u32 {
            // SAFETY: a helper without arguments.
            unsafe { bpf_get_prandom_u32() }
        }
        #[inline(always)]
        fn now(&self) -> u64 {
            observe::now()
        }
        #[inline(always)]
        fn count_flow(&self, service: ServiceId, backend: BackendId) {
            backend::count_flow::<F>(service, backend);
        }
    };
}
pub(crate) use maps_as_tables;

impl<F: Maps, M: Medium> Tables<F> for Kernel<M> {
    maps_as_tables!();

    #[inline(always)]
    fn route(&self, dst: &F::Addr, source: &mut F::Addr) -> Route {
        if frontend::local::<F>(*dst) != 0 {
            Route::Local
        } else {
            route::route::<F, M>(self.medium, dst, source)
        }
    }

    #[inline(always)]
    fn fits(&self, dst: &F::Addr, bytes: u16) -> bool {
        route::fits::<F, M>(self.medium, dst, bytes)
    }
}
