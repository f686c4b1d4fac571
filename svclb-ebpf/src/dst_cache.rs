//! The map of ways to destinations.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use svclb_common::{
    dst_cache::{CachedDst, DSTS, place},
    family::{Addr4, Addr6, Family, V4, V6},
};

/// A place of both families. A program can use 64 maps: what needs no name of its own shares one.
pub(crate) struct Cached {
    v4: CachedDst<Addr4>,
    v6: CachedDst<Addr6>,
}

/// Ways.
#[btf_map(name = "DST_CACHE")]
static DST_CACHE: PerCpuArray<Cached, { DSTS as usize }> = PerCpuArray::new();

/// The part of a family.
pub(crate) trait DstMaps: Family {
    #[doc(hidden)]
    fn part(cached: &mut Cached) -> &mut CachedDst<Self::Addr>;
}

impl DstMaps for V4 {
    #[inline(always)]
    fn part(cached: &mut Cached) -> &mut CachedDst<Addr4> {
        &mut cached.v4
    }
}

impl DstMaps for V6 {
    #[inline(always)]
    fn part(cached: &mut Cached) -> &mut CachedDst<Addr6> {
        &mut cached.v6
    }
}

/// This CPU's place for what is known of the way to `dst`.
#[inline(always)]
pub(crate) fn of<F: DstMaps>(dst: &F::Addr) -> Option<&'static mut CachedDst<F::Addr>> {
    // SAFETY: one user per CPU at a time, as hooks of packets do not interrupt each other, and nobody keeps it; all zeros
    // are a valid value.
    DST_CACHE.get_ptr_mut(place(dst)).map(|cached| F::part(unsafe { &mut *cached }))
}
