//! The tables of the floor: services, flows, backends.

use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap},
    macros::btf_map,
};

use crate::frame::{Family, V4, V6};

/// Entries of a flow table, as of svclb's.
const FLOWS: usize = 262_144;

/// Where a packet goes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Target<A> {
    pub(crate) addr: A,
    /// Network byte order.
    pub(crate) port: u16,
    pub(crate) pad: u16,
    /// The next hop's link address.
    pub(crate) mac: [u16; 3],
    pub(crate) pad2: u16,
}

/// A service port.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Service {
    pub(crate) first: u32,
    pub(crate) backends: u32,
}

type Flows<F> = LruHashMap<<F as Family>::Flow, Target<<F as Family>::Addr>, FLOWS>;
type Services<F> = HashMap<<F as Family>::Service, Service, 1024>;
type Backends<F> = Array<Target<<F as Family>::Addr>, 1024>;

/// The maps of a family.
pub(crate) trait Maps: Family + Sized + 'static {
    fn services() -> &'static Services<Self>;
    /// Flows that are there.
    fn flows() -> &'static Flows<Self>;
    /// Flows that come and go.
    fn new_flows() -> &'static Flows<Self>;
    fn backends() -> &'static Backends<Self>;
}

macro_rules! maps {
    ($family:ident, $services:ident, $flows:ident, $new_flows:ident, $backends:ident) => {
        #[btf_map]
        static $services: Services<$family> = HashMap::new();
        #[btf_map]
        static $flows: Flows<$family> = LruHashMap::new();
        #[btf_map]
        static $new_flows: Flows<$family> = LruHashMap::new();
        #[btf_map]
        static $backends: Backends<$family> = Array::new();

        impl Maps for $family {
            #[inline(always)]
            fn services() -> &'static Services<Self> {
                &$services
            }
            #[inline(always)]
            fn flows() -> &'static Flows<Self> {
                &$flows
            }
            #[inline(always)]
            fn new_flows() -> &'static Flows<Self> {
                &$new_flows
            }
            #[inline(always)]
            fn backends() -> &'static Backends<Self> {
                &$backends
            }
        }
    };
}
maps!(V4, SERVICES_V4, FLOWS_V4, NEW_FLOWS_V4, BACKENDS_V4);
maps!(V6, SERVICES_V6, FLOWS_V6, NEW_FLOWS_V6, BACKENDS_V6);
