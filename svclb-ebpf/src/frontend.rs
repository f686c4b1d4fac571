//! The maps that a destination is looked up in: frontends, node ports, addresses of the node.

use aya_ebpf::{
    btf_maps::{Array, HashMap},
    macros::btf_map,
};
use svclb_common::{
    family::{Addr4, Addr6, Family, V4, V6},
    key::{FrontendKey, Wide},
    layout::capacity,
    service::{Frontend, ServiceId, node_port_index},
    wire::Transport,
};

use crate::agent::MMAPABLE;

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: usize = 1;

type Frontends<A> = HashMap<FrontendKey<A>, Frontend, { capacity::FRONTENDS }, NO_PREALLOC>;
type NodePorts = Array<u32, { capacity::NODE_PORTS }, MMAPABLE>;
type Locals<A> = HashMap<A, u32, { capacity::LOCALS }, NO_PREALLOC>;

/// Frontends of IPv4.
#[btf_map(name = "FRONTENDS_V4")]
static FRONTENDS_V4: Frontends<Addr4> = HashMap::new();
/// Frontends of IPv6.
#[btf_map(name = "FRONTENDS_V6")]
static FRONTENDS_V6: Frontends<Addr6> = HashMap::new();
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

/// The maps of a family.
pub(crate) trait FrontendMaps: Family {
    #[doc(hidden)]
    fn frontends() -> &'static Frontends<Self::Addr>;
    #[doc(hidden)]
    fn node_ports() -> &'static NodePorts;
    #[doc(hidden)]
    fn locals() -> &'static Locals<Self::Addr>;
}

macro_rules! maps {
    ($family:ident, $frontends:ident, $node_ports:ident, $locals:ident) => {
        impl FrontendMaps for $family {
            #[inline(always)]
            fn frontends() -> &'static Frontends<Self::Addr> {
                &$frontends
            }
            #[inline(always)]
            fn node_ports() -> &'static NodePorts {
                &$node_ports
            }
            #[inline(always)]
            fn locals() -> &'static Locals<Self::Addr> {
                &$locals
            }
        }
    };
}
maps!(V4, FRONTENDS_V4, NODE_PORTS_V4, LOCALS_V4);
maps!(V6, FRONTENDS_V6, NODE_PORTS_V6, LOCALS_V6);

/// The service cell behind an exact frontend.
#[inline(always)]
pub(crate) fn lookup<F: FrontendMaps>(key: FrontendKey<F::Addr>) -> Option<ServiceId> {
    // SAFETY: the value is copied at once; slots of a hash may be reused later.
    unsafe { F::frontends().get(Wide::new(key).get()) }.map(|frontend| frontend.service)
}

/// The service cell behind a node port; `port` in network byte order.
#[inline(always)]
pub(crate) fn node_port<F: FrontendMaps>(transport: Transport, port: u16) -> Option<ServiceId> {
    F::node_ports().get(node_port_index(transport, port)).copied().filter(|service| *service != 0)
}

/// Whether an address is one of the node's own.
#[inline(always)]
pub(crate) fn is_local<F: FrontendMaps>(addr: F::Addr) -> bool {
    F::locals().get_ptr(addr).is_some()
}
