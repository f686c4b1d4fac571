//! The map of ways to destinations.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use svclb_common::{
    dst_cache::{CachedDst, DSTS, place},
    family::{Addr4, Addr6, Family, V4, V6},
};

type Dsts<A> = PerCpuArray<CachedDst<A>, { DSTS as usize }>;

/// Ways of IPv4.
#[btf_map(name = "DST_CACHE_V4")]
static DST_CACHE_V4: Dsts<Addr4> = PerCpuArray::new();
/// Ways of IPv6.
#[btf_map(name = "DST_CACHE_V6")]
static DST_CACHE_V6: Dsts<Addr6> = PerCpuArray::new();

/// The map of a family.
pub(crate) trait DstMaps: Family {
    #[doc(hidden)]
    fn dsts() -> &'static Dsts<Self::Addr>;
}

impl DstMaps for V4 {
    #[inline(always)]
    fn dsts() -> &'static Dsts<Addr4> {
        &DST_CACHE_V4
    }
}

impl DstMaps for V6 {
    #[inline(always)]
    fn dsts() -> &'static Dsts<Addr6> {
        &DST_CACHE_V6
    }
}

/// This CPU's place for what is known of the way to `dst`.
#[inline(always)]
pub(crate) fn of<F: DstMaps>(dst: &F::Addr) -> Option<&'static mut CachedDst<F::Addr>> {
    // SAFETY: one user per CPU at a time, as hooks of packets do not interrupt each other, and nobody keeps it; all zeros
    // are a valid value.
    F::dsts().get_ptr_mut(place(dst)).map(|cached| unsafe { &mut *cached })
}
