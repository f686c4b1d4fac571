//! The map that the choice of a backend asks: flows of backends.

use core::arch::asm;

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use svclb_common::{
    family::{Family, V4, V6},
    layout::capacity,
    service::BackendId,
};

use crate::agent::MMAPABLE;

type Active = Array<u64, { capacity::BACKENDS }, MMAPABLE>;

/// Flows of IPv4 backends.
#[btf_map(name = "ACTIVE_V4")]
static ACTIVE_V4: Active = Array::new();
/// Flows of IPv6 backends.
#[btf_map(name = "ACTIVE_V6")]
static ACTIVE_V6: Active = Array::new();

/// The maps of a family.
pub(crate) trait LoadMaps: Family {
    #[doc(hidden)]
    fn active() -> &'static Active;
}

macro_rules! maps {
    ($family:ident, $active:ident) => {
        impl LoadMaps for $family {
            #[inline(always)]
            fn active() -> &'static Active {
                &$active
            }
        }
    };
}
maps!(V4, ACTIVE_V4);
maps!(V6, ACTIVE_V6);

/// Adds to a word that all CPUs count in, and returns what it was. The target has no compare-and-exchange below this
/// level, so core offers no atomics for it; this is one instruction since Linux 5.12.
#[inline(always)]
pub(crate) fn add(word: *mut u64, number: u64) -> u64 {
    let mut number = number;
    // SAFETY: the caller passes an element of a map, which lives as long as the program runs and is aligned.
    unsafe {
        asm!("{number} = atomic_fetch_add((u64 *)({word} + 0), {number})", word = in(reg) word, number = inout(reg) number);
    }
    number
}

/// How many flows a backend has. Counts that raced may be below zero until the agent has counted anew.
#[inline(always)]
pub(crate) fn active<F: LoadMaps>(backend: BackendId) -> u32 {
    F::active()
        .get(backend)
        .map_or(0, |count| u32::try_from((*count).cast_signed().max(0)).unwrap_or(u32::MAX))
}

/// Notes that a backend has that many flows more, or fewer.
#[inline(always)]
pub(crate) fn add_active<F: LoadMaps>(backend: BackendId, change: i64) {
    if let Some(count) = F::active().get_ptr_mut(backend) {
        add(count, change.cast_unsigned());
    }
}
