//! The datapath's [`Tables`], made of the maps.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use svclb_common::{
    balance::{PutError, Route, Scratch, Tables},
    encap::Carry,
    family::{V4, V6},
    flow::FlowEntry,
    icmp::Icmp,
    key::{FlowKey, FrontendKey},
    refuse::TooBig,
    service::{
        Affinity, AffinityKey, Backend, BackendId, Frontend, List, Policy, ServiceId, ServiceRanges, Slab,
    },
    wire::Transport,
};

use crate::{
    apart::Apart, backend, backend::BackendMaps, beside::BesideMaps, client, client::ClientMaps, config,
    dst_cache::DstMaps, entrance, flow, flow::FlowMaps, fragment::FragmentMaps, frontend,
    frontend::FrontendMaps, load, load::LoadMaps, medium::Medium, observe, outcome, pods::PodMaps,
    ports::PortMaps, route, route::RouteMaps, stranger::StrangerMaps,
};

/// All maps of a family.
pub(crate) trait Maps:
    FrontendMaps
    + BackendMaps
    + LoadMaps
    + ClientMaps
    + FlowMaps
    + BesideMaps
    + StrangerMaps
    + FragmentMaps
    + RouteMaps
    + DstMaps
    + PodMaps
    + PortMaps
    + Icmp
    + Carry
    + TooBig
    + Apart
{
}
impl Maps for V4 {}
impl Maps for V6 {}

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
        fn timeout(&self, number: u32) -> u64 {
            config::timeout(number)
        }
        #[inline(always)]
        fn pods_behind(&self, ifindex: u32) -> Option<svclb_common::client::PodRange<F::Addr>> {
            $crate::pods::behind::<F>(ifindex)
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
        fn is_external_ip(&self, addr: &F::Addr) -> bool {
            frontend::is_external_ip::<F>(addr)
        }
        #[inline(always)]
        fn slot(&self, slot: u32) -> Option<BackendId> {
            backend::slot::<F>(slot)
        }
        #[inline(always)]
        fn weight(&self, slot: u32) -> u8 {
            backend::weight::<F>(slot)
        }
        #[inline(always)]
        fn takes(&self, service: ServiceId, rate: u32) -> bool {
            entrance::takes::<F>(service, rate)
        }
        #[inline(always)]
        fn turn(&self, service: ServiceId) -> u64 {
            entrance::turn::<F>(service)
        }
        #[inline(always)]
        fn active(&self, id: BackendId) -> u32 {
            load::active::<F>(id)
        }
        #[inline(always)]
        fn add_active(&self, id: BackendId, change: i64) {
            load::add_active::<F>(id, change);
        }
        #[inline(always)]
        fn backend(&self, id: BackendId) -> Option<Backend<F::Addr>> {
            backend::backend::<F>(id)
        }
        #[inline(always)]
        fn may_hold(&self, key: &FlowKey<F::Addr>) -> bool {
            $crate::beside::may_hold::<F>(key)
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
            $crate::stranger::forget::<F>(key);
            flow::open::<F>(key, entry, replace)
        }
        #[inline(always)]
        fn establish(
            &self,
            key: &FlowKey<F::Addr>,
            entry: &FlowEntry<F::Addr>,
            copy: &mut FlowEntry<F::Addr>,
        ) {
            flow::establish::<F>(key, entry, copy);
        }
        #[inline(always)]
        fn retire(&self, key: &FlowKey<F::Addr>, entry: &FlowEntry<F::Addr>, copy: &mut FlowEntry<F::Addr>) {
            flow::retire::<F>(key, entry, copy);
        }
        #[inline(always)]
        fn forget(&self, key: &FlowKey<F::Addr>) {
            flow::forget::<F>(key);
            $crate::beside::forget::<F>(key);
        }
        #[inline(always)]
        fn searched(
            &self,
            key: &svclb_common::snat::PortsKey<F::Addr>,
        ) -> Option<svclb_common::snat::PortsMemory> {
            $crate::ports::searched::<F>(key)
        }
        #[inline(always)]
        fn keep_search(
            &self,
            key: &svclb_common::snat::PortsKey<F::Addr>,
            memory: &svclb_common::snat::PortsMemory,
        ) {
            $crate::ports::keep::<F>(key, memory);
        }
        #[inline(always)]
        fn repeat<R: svclb_common::balance::Repeat<F>>(&self, steps: u32, repeat: &mut R) -> bool {
            $crate::ports::repeat::<F, R>(steps, repeat)
        }
        #[inline(always)]
        fn fragment(
            &self,
            key: &svclb_common::fragment::FragmentKey<F::Addr>,
        ) -> Option<svclb_common::fragment::FragmentHead> {
            $crate::fragment::head::<F>(key)
        }
        #[inline(always)]
        fn keep_fragment(
            &self,
            key: &svclb_common::fragment::FragmentKey<F::Addr>,
            head: &svclb_common::fragment::FragmentHead,
        ) {
            $crate::fragment::keep::<F>(key, head);
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
        fn count_flow(&self, frontend: Frontend, backend: BackendId) {
            backend::count_flow::<F>(frontend.service);
            outcome::count_flow::<F>(backend);
            entrance::count::<F>(frontend);
        }
        #[inline(always)]
        fn claim(&self, scratch: &mut Scratch<F::Addr>) -> bool {
            F::claim(scratch)
        }

        #[inline(always)]
        fn ask(&self, scratch: &mut Scratch<F::Addr>) -> bool {
            F::ask(scratch)
        }

        #[inline(always)]
        fn find_port(&self, scratch: &mut Scratch<F::Addr>) -> bool {
            F::find_port(scratch)
        }
    };
}

impl<F: Maps, M: Medium> Tables<F> for Kernel<M> {
    maps_as_tables!();

    #[inline(always)]
    fn route(&self, dst: &F::Addr, source: &mut F::Addr) -> Route {
        route::route::<F, M>(self.medium, dst, source)
    }

    #[inline(always)]
    fn fits(&self, dst: &F::Addr, bytes: u16) -> bool {
        route::fits::<F, M>(self.medium, dst, bytes)
    }
}

/// The tables where there is no packet, and no route to ask for.
pub(crate) struct NoPacket;

impl<F: Maps> Tables<F> for NoPacket {
    maps_as_tables!();

    #[inline(always)]
    fn fits(&self, _dst: &F::Addr, _bytes: u16) -> bool {
        true
    }

    #[inline(always)]
    fn route(&self, _dst: &F::Addr, _source: &mut F::Addr) -> Route {
        Route::None
    }
}
