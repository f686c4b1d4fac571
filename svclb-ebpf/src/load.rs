//! The maps that the choice of a backend writes: what new flows of services use up, flows of backends.
//!
//! Turns are given out by one counter for all CPUs: a counter for each would let every CPU begin with the same
//! backend, and the packets of a few clients often enter on one or two CPUs. It costs a shared cache line for each new
//! flow of a Service that goes round, and nothing for others.

use core::arch::asm;

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use svclb_common::{
    family::{Family, V4, V6},
    layout::capacity,
    service::{BackendId, ServiceId, Spent, Turn, turn as rated},
};

use crate::{agent::MMAPABLE, observe};

type AllSpent = Array<Spent, { capacity::SERVICES }>;
type Active = Array<u64, { capacity::BACKENDS }, MMAPABLE>;

/// What new flows of IPv4 service cells have used up.
#[btf_map(name = "SPENT_V4")]
static SPENT_V4: AllSpent = Array::new();
/// What new flows of IPv6 service cells have used up.
#[btf_map(name = "SPENT_V6")]
static SPENT_V6: AllSpent = Array::new();
/// Flows of IPv4 backends.
#[btf_map(name = "ACTIVE_V4")]
static ACTIVE_V4: Active = Array::new();
/// Flows of IPv6 backends.
#[btf_map(name = "ACTIVE_V6")]
static ACTIVE_V6: Active = Array::new();

/// The maps of a family.
pub(crate) trait LoadMaps: Family {
    #[doc(hidden)]
    fn spent() -> &'static AllSpent;
    #[doc(hidden)]
    fn active() -> &'static Active;
}

macro_rules! maps {
    ($family:ident, $spent:ident, $active:ident) => {
        impl LoadMaps for $family {
            #[inline(always)]
            fn spent() -> &'static AllSpent {
                &$spent
            }
            #[inline(always)]
            fn active() -> &'static Active {
                &$active
            }
        }
    };
}
maps!(V4, SPENT_V4, ACTIVE_V4);
maps!(V6, SPENT_V6, ACTIVE_V6);

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

/// The next turn of a service.
#[inline(never)]
pub(crate) fn turn<F: LoadMaps>(service: ServiceId) -> u64 {
    // SAFETY: an element of a map, which lives as long as the program runs.
    F::spent().get_ptr_mut(service).map_or(0, |spent| add(unsafe { &raw mut (*spent).turns }, 1))
}

/// Whether a service takes one more new flow, of `rate` a second; if so, it is counted. CPUs that ask at the same time
/// may be taken one each where one was left; those that are added are paid back, so that no more come in the long run.
#[inline(always)]
pub(crate) fn takes<F: LoadMaps>(service: ServiceId, rate: u32) -> bool {
    let Some(spent) = F::spent().get_ptr_mut(service) else { return true };
    // SAFETY: an element of a map, which lives as long as the program runs and is aligned; one load, one store.
    let due = unsafe { &raw mut (*spent).due };
    // SAFETY: as above.
    let word = unsafe { due.read_volatile() };
    match rated(word, observe::now(), rate) {
        Turn::None => return false,
        // SAFETY: as above.
        Turn::First(word) => unsafe { due.write_volatile(word) },
        Turn::Next(share) => {
            add(due, share);
        }
    }
    true
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
