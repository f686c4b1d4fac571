//! The maps that a destination is looked up in: frontends, node ports, addresses of the node
//! and of Services.

use aya_ebpf::{
    btf_maps::{Array, HashMap},
    macros::btf_map,
};
use svclb_common::{
    family::{Addr4, Addr6, Family, V4, V6},
    key::{FrontendKey, Wide},
    layout::capacity,
    line::{LINE, Line},
    service::{
        Frontend, ServiceId, ServiceRanges,
        filter::{PLACES, may_hold, place},
        node_port_index,
    },
    wire::Transport,
};

use crate::agent::MMAPABLE;

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: usize = 1;

type Frontends<A> = HashMap<FrontendKey<A>, Frontend, { capacity::FRONTENDS }, NO_PREALLOC>;
type Filter = Array<Line, { PLACES as usize / LINE }, MMAPABLE>;
type NodePorts = Array<u32, { capacity::NODE_PORTS }, MMAPABLE>;
type Locals<A> = HashMap<A, u32, { capacity::LOCALS }, NO_PREALLOC>;
type ClusterIps<A> = HashMap<A, u32, { capacity::FRONTENDS }, NO_PREALLOC>;
type ExternalIps<A> = HashMap<A, u32, { capacity::FRONTENDS }, NO_PREALLOC>;
type Ranges<A> = Array<ServiceRanges<A>, 1, MMAPABLE>;

/// Frontends of IPv4.
#[btf_map(name = "FRONTENDS_V4")]
static FRONTENDS_V4: Frontends<Addr4> = HashMap::new();
/// Frontends of IPv6.
#[btf_map(name = "FRONTENDS_V6")]
static FRONTENDS_V6: Frontends<Addr6> = HashMap::new();
/// Where frontends of IPv4 may be.
#[btf_map(name = "FRONTEND_FILTER_V4")]
static FRONTEND_FILTER_V4: Filter = Array::new();
/// Where frontends of IPv6 may be.
#[btf_map(name = "FRONTEND_FILTER_V6")]
static FRONTEND_FILTER_V6: Filter = Array::new();
/// Node ports of IPv4.
#[btf_map(name = "NODE_PORTS_V4")]
static NODE_PORTS_V4: NodePorts = Array::new();
/// Node ports of IPv6.
#[btf_map(name = "NODE_PORTS_V6")]
static NODE_PORTS_V6: NodePorts = Array::new();
/// The node's IPv4 addresses.
#[btf_map(name = "LOCALS_V4")]
static LOCALS_V4: Locals<Addr4> = HashMap::new();
/// The node's IPv6 addresses.
#[btf_map(name = "LOCALS_V6")]
static LOCALS_V6: Locals<Addr6> = HashMap::new();
/// `ClusterIP`s of IPv4.
#[btf_map(name = "CLUSTER_IPS_V4")]
static CLUSTER_IPS_V4: ClusterIps<Addr4> = HashMap::new();
/// `ClusterIP`s of IPv6.
#[btf_map(name = "CLUSTER_IPS_V6")]
static CLUSTER_IPS_V6: ClusterIps<Addr6> = HashMap::new();
/// Other addresses of Services, of IPv4.
#[btf_map(name = "EXTERNAL_IPS_V4")]
static EXTERNAL_IPS_V4: ExternalIps<Addr4> = HashMap::new();
/// Other addresses of Services, of IPv6.
#[btf_map(name = "EXTERNAL_IPS_V6")]
static EXTERNAL_IPS_V6: ExternalIps<Addr6> = HashMap::new();
/// Where IPv4 addresses of Services are.
#[btf_map(name = "RANGES_V4")]
static RANGES_V4: Ranges<Addr4> = Array::new();
/// Where IPv6 addresses of Services are.
#[btf_map(name = "RANGES_V6")]
static RANGES_V6: Ranges<Addr6> = Array::new();

/// The maps of a family.
pub(crate) trait FrontendMaps: Family {
    #[doc(hidden)]
    fn frontends() -> &'static Frontends<Self::Addr>;
    #[doc(hidden)]
    fn frontend_filter() -> &'static Filter;
    #[doc(hidden)]
    fn node_ports() -> &'static NodePorts;
    #[doc(hidden)]
    fn locals() -> &'static Locals<Self::Addr>;
    #[doc(hidden)]
    fn cluster_ips() -> &'static ClusterIps<Self::Addr>;
    #[doc(hidden)]
    fn external_ips() -> &'static ExternalIps<Self::Addr>;
    #[doc(hidden)]
    fn ranges() -> &'static Ranges<Self::Addr>;
}

macro_rules! maps {
    (
        $family:ident, $frontends:ident, $filter:ident, $node_ports:ident, $locals:ident,
        $cluster_ips:ident, $external_ips:ident, $ranges:ident
    ) => {
        impl FrontendMaps for $family {
            #[inline(always)]
            fn frontends() -> &'static Frontends<Self::Addr> {
                &$frontends
            }
            #[inline(always)]
            fn frontend_filter() -> &'static Filter {
                &$filter
            }
            #[inline(always)]
            fn node_ports() -> &'static NodePorts {
                &$node_ports
            }
            #[inline(always)]
            fn locals() -> &'static Locals<Self::Addr> {
                &$locals
            }
            #[inline(always)]
            fn cluster_ips() -> &'static ClusterIps<Self::Addr> {
                &$cluster_ips
            }
            #[inline(always)]
            fn external_ips() -> &'static ExternalIps<Self::Addr> {
                &$external_ips
            }
            #[inline(always)]
            fn ranges() -> &'static Ranges<Self::Addr> {
                &$ranges
            }
        }
    };
}
maps!(
    V4,
    FRONTENDS_V4,
    FRONTEND_FILTER_V4,
    NODE_PORTS_V4,
    LOCALS_V4,
    CLUSTER_IPS_V4,
    EXTERNAL_IPS_V4,
    RANGES_V4
);
maps!(
    V6,
    FRONTENDS_V6,
    FRONTEND_FILTER_V6,
    NODE_PORTS_V6,
    LOCALS_V6,
    CLUSTER_IPS_V6,
    EXTERNAL_IPS_V6,
    RANGES_V6
);

/// The exact frontend.
#[inline(always)]
pub(crate) fn lookup<F: FrontendMaps>(key: FrontendKey<F::Addr>) -> Option<Frontend> {
    let place = place(&key);
    let line = F::frontend_filter().get(Line::of(place))?;
    if !may_hold(line, place) {
        return None;
    }
    // SAFETY: the value is copied at once; slots of a hash may be reused later.
    unsafe { F::frontends().get(Wide::new(key).get()) }.copied()
}

/// The service cell behind a node port; `port` in network byte order.
#[inline(always)]
pub(crate) fn node_port<F: FrontendMaps>(transport: Transport, port: u16) -> Option<ServiceId> {
    F::node_ports().get(node_port_index(transport, port)).copied().filter(|service| *service != 0)
}

/// [`LOCAL_ADDRESS`](svclb_common::service::LOCAL_ADDRESS) and its like; 0 for an address
/// that is none of the node's own.
#[inline(always)]
pub(crate) fn local<F: FrontendMaps>(addr: F::Addr) -> u32 {
    // SAFETY: the value is copied at once.
    unsafe { F::locals().get(addr) }.map_or(0, |flags| *flags)
}

/// Where addresses of Services are.
#[inline(always)]
pub(crate) fn ranges<F: FrontendMaps>() -> Option<&'static ServiceRanges<F::Addr>> {
    F::ranges().get(0)
}

/// Whether an address is a `ClusterIP`.
#[inline(always)]
pub(crate) fn is_cluster_ip<F: FrontendMaps>(addr: &F::Addr) -> bool {
    F::cluster_ips().get_ptr(Wide::new(*addr).get()).is_some()
}

/// Whether an address is another one of a Service.
#[inline(always)]
pub(crate) fn is_external_ip<F: FrontendMaps>(addr: &F::Addr) -> bool {
    F::external_ips().get_ptr(Wide::new(*addr).get()).is_some()
}
