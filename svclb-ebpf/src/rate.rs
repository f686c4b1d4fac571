//! The map of how far new flows are ahead of their service's rate. Only services that have one are looked up here.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use svclb_common::{
    family::{Family, V4, V6},
    layout::capacity,
    service::{ServiceId, Turn, turn},
};

use crate::{load::add, observe};

type Rates = Array<u64, { capacity::SERVICES }>;

/// Until when new flows of IPv4 service cells are spoken for.
#[btf_map(name = "RATES_V4")]
static RATES_V4: Rates = Array::new();
/// Until when new flows of IPv6 service cells are spoken for.
#[btf_map(name = "RATES_V6")]
static RATES_V6: Rates = Array::new();

/// The map of a family.
pub(crate) trait RateMaps: Family {
    #[doc(hidden)]
    fn rates() -> &'static Rates;
}

impl RateMaps for V4 {
    #[inline(always)]
    fn rates() -> &'static Rates {
        &RATES_V4
    }
}

impl RateMaps for V6 {
    #[inline(always)]
    fn rates() -> &'static Rates {
        &RATES_V6
    }
}

/// Whether a service takes one more new flow, of `rate` a second; if so, it is counted. CPUs that ask at the same time
/// may be taken one each where one was left; those that are added are paid back, so that no more come in the long run.
#[inline(always)]
pub(crate) fn takes<F: RateMaps>(service: ServiceId, rate: u32) -> bool {
    let Some(due) = F::rates().get_ptr_mut(service) else { return true };
    // SAFETY: an element of a map, which lives as long as the program runs and is aligned; one load, one store.
    let word = unsafe { due.read_volatile() };
    match turn(word, observe::now(), rate) {
        Turn::None => return false,
        // SAFETY: as above.
        Turn::First(word) => unsafe { due.write_volatile(word) },
        Turn::Next(share) => {
            add(due, share);
        }
    }
    true
}
