//! The map of tuples that were found to be nobody's a moment ago.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use svclb_common::{
    family::{Addr4, Addr6, Family, V4, V6},
    flow::{
        Stranger,
        stranger::{STRANGERS, place},
    },
    key::FlowKey,
};

use crate::observe;

type Strangers<A> = PerCpuArray<Stranger<A>, { STRANGERS as usize }>;

/// Tuples of IPv4.
#[btf_map(name = "STRANGERS_V4")]
static STRANGERS_V4: Strangers<Addr4> = PerCpuArray::new();
/// Tuples of IPv6.
#[btf_map(name = "STRANGERS_V6")]
static STRANGERS_V6: Strangers<Addr6> = PerCpuArray::new();

/// The map of a family.
pub(crate) trait StrangerMaps: Family {
    #[doc(hidden)]
    fn strangers() -> &'static Strangers<Self::Addr>;
}

impl StrangerMaps for V4 {
    #[inline(always)]
    fn strangers() -> &'static Strangers<Addr4> {
        &STRANGERS_V4
    }
}

impl StrangerMaps for V6 {
    #[inline(always)]
    fn strangers() -> &'static Strangers<Addr6> {
        &STRANGERS_V6
    }
}

/// Whether the tuple was found to be nobody's in this jiffy.
#[inline(always)]
pub(crate) fn is_known<F: StrangerMaps>(key: &FlowKey<F::Addr>) -> bool {
    F::strangers().get(place(key)).is_some_and(|found| found.is(key, observe::jiffies()))
}

/// Notes that it is.
#[inline(always)]
pub(crate) fn note<F: StrangerMaps>(key: &FlowKey<F::Addr>) {
    if let Some(found) = F::strangers().get_ptr_mut(place(key)) {
        // SAFETY: this CPU's own value, and hooks of packets do not interrupt each other.
        unsafe { *found = Stranger::new(*key, observe::jiffies()) };
    }
}

/// Notes that the tuple is a flow's from now on.
#[inline(always)]
pub(crate) fn forget<F: StrangerMaps>(key: &FlowKey<F::Addr>) {
    if let Some(found) = F::strangers().get_ptr_mut(place(key)) {
        // SAFETY: as above.
        let found = unsafe { &mut *found };
        if found.is_about(key) {
            found.forget();
        }
    }
}
