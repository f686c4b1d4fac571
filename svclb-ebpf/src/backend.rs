//! The maps behind a frontend: service cells, slots, backends, and what is counted of them.

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray},
    macros::btf_map,
};
use svclb_common::{
    family::{Addr4, Addr6, Family, V4, V6},
    layout::capacity,
    service::{Backend, BackendCell, BackendId, List, Policy, ServiceCell, ServiceId, Slab, Slot, Traffic},
};

use crate::agent::MMAPABLE;

type Services = Array<ServiceCell, { capacity::SERVICES }, MMAPABLE>;
type Slots = Array<u32, { capacity::SLOTS }, MMAPABLE>;
type Backends<A> = Array<BackendCell<A>, { capacity::BACKENDS }, MMAPABLE>;
type TrafficCounters = PerCpuArray<Traffic, { capacity::SERVICES }>;

/// Service cells of IPv4.
#[btf_map(name = "SERVICES_V4")]
static SERVICES_V4: Services = Array::new();
/// Service cells of IPv6.
#[btf_map(name = "SERVICES_V6")]
static SERVICES_V6: Services = Array::new();
/// Slots of IPv4.
#[btf_map(name = "SLOTS_V4")]
static SLOTS_V4: Slots = Array::new();
/// Slots of IPv6.
#[btf_map(name = "SLOTS_V6")]
static SLOTS_V6: Slots = Array::new();
/// Backends of IPv4.
#[btf_map(name = "BACKENDS_V4")]
static BACKENDS_V4: Backends<Addr4> = Array::new();
/// Backends of IPv6.
#[btf_map(name = "BACKENDS_V6")]
static BACKENDS_V6: Backends<Addr6> = Array::new();
/// Traffic by IPv4 service cell.
#[btf_map(name = "TRAFFIC_V4")]
static TRAFFIC_V4: TrafficCounters = PerCpuArray::new();
/// Traffic by IPv6 service cell.
#[btf_map(name = "TRAFFIC_V6")]
static TRAFFIC_V6: TrafficCounters = PerCpuArray::new();

/// The maps of a family.
pub(crate) trait BackendMaps: Family {
    #[doc(hidden)]
    fn services() -> &'static Services;
    #[doc(hidden)]
    fn slots() -> &'static Slots;
    #[doc(hidden)]
    fn backends() -> &'static Backends<Self::Addr>;
    #[doc(hidden)]
    fn traffic() -> &'static TrafficCounters;
}

macro_rules! maps {
    ($family:ident, $services:ident, $slots:ident, $backends:ident, $traffic:ident) => {
        impl BackendMaps for $family {
            #[inline(always)]
            fn services() -> &'static Services {
                &$services
            }
            #[inline(always)]
            fn slots() -> &'static Slots {
                &$slots
            }
            #[inline(always)]
            fn backends() -> &'static Backends<Self::Addr> {
                &$backends
            }
            #[inline(always)]
            fn traffic() -> &'static TrafficCounters {
                &$traffic
            }
        }
    };
}
maps!(V4, SERVICES_V4, SLOTS_V4, BACKENDS_V4, TRAFFIC_V4);
maps!(V6, SERVICES_V6, SLOTS_V6, BACKENDS_V6, TRAFFIC_V6);

/// The slots of one of a service's lists.
#[inline(always)]
pub(crate) fn slab<F: BackendMaps>(service: ServiceId, list: List) -> Slab {
    F::services().get(service).map_or(Slab::default(), |cell| match list {
        List::Local => cell.slab(List::Local),
        List::Cluster => cell.slab(List::Cluster),
        List::Idle => cell.slab(List::Idle),
    })
}

/// How a service treats its clients.
#[inline(always)]
pub(crate) fn policy<F: BackendMaps>(service: ServiceId) -> Policy {
    F::services().get(service).map_or(Policy::default(), |cell| Policy::unpack(cell.policy.load()))
}

/// The backend in a slot.
#[inline(always)]
pub(crate) fn slot<F: BackendMaps>(index: u32) -> Option<BackendId> {
    F::slots().get(index).map(|word| Slot::backend_of(*word))
}

/// The weight of the backend in a slot.
#[inline(always)]
pub(crate) fn weight<F: BackendMaps>(index: u32) -> u8 {
    F::slots().get(index).map_or(1, |word| Slot::weight_of(*word))
}

/// The low half of how many writes to tables there were since the agent started: the agent keeps it in the cell that is no
/// service's.
#[inline(always)]
pub(crate) fn writes<F: BackendMaps>() -> u64 {
    F::services().get(0).map_or(0, |cell| cell.reserved.load().into())
}

/// The backend in a cell.
#[inline(always)]
pub(crate) fn backend<F: BackendMaps>(id: BackendId) -> Option<Backend<F::Addr>> {
    F::backends().get(id)?.read(id)
}

/// Counts a new flow.
#[inline(always)]
pub(crate) fn count_flow<F: BackendMaps>(service: ServiceId) {
    if let Some(traffic) = F::traffic().get_ptr_mut(service) {
        // SAFETY: this CPU's own value. A socket call may be interrupted by a packet between
        // load and store; then one of the two is not counted.
        unsafe { (*traffic).flows += 1 };
    }
}

/// Counts a translated packet.
#[inline(always)]
pub(crate) fn count_packet<F: BackendMaps>(service: ServiceId, bytes: u16) {
    if let Some(traffic) = F::traffic().get_ptr_mut(service) {
        // SAFETY: as above.
        unsafe {
            (*traffic).packets += 1;
            (*traffic).bytes += u64::from(bytes);
        }
    }
}
