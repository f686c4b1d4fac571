//! The map of which clients are local pods.

use aya_ebpf::{btf_maps::HashMap, macros::btf_map};
use svclb_common::{
    client::{ANY_DEVICE, PodRange},
    family::{Addr4, Addr6, Family, V4, V6},
    layout::capacity,
};

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: usize = 1;

type Pods<A> = HashMap<u32, PodRange<A>, { capacity::PODS }, NO_PREALLOC>;

/// IPv4 clients.
#[btf_map(name = "PODS_V4")]
static PODS_V4: Pods<Addr4> = HashMap::new();
/// IPv6 clients.
#[btf_map(name = "PODS_V6")]
static PODS_V6: Pods<Addr6> = HashMap::new();

/// The map of a family.
pub(crate) trait PodMaps: Family {
    #[doc(hidden)]
    fn pods() -> &'static Pods<Self::Addr>;
}

impl PodMaps for V4 {
    #[inline(always)]
    fn pods() -> &'static Pods<Addr4> {
        &PODS_V4
    }
}

impl PodMaps for V6 {
    #[inline(always)]
    fn pods() -> &'static Pods<Addr6> {
        &PODS_V6
    }
}

/// The device's own rule, or that of all others.
#[inline(always)]
pub(crate) fn behind<F: PodMaps>(ifindex: u32) -> Option<PodRange<F::Addr>> {
    // SAFETY: the value is copied at once.
    unsafe { F::pods().get(ifindex).or_else(|| F::pods().get(ANY_DEVICE)) }.copied()
}
