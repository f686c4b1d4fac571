//! The map of services' new flows: the turns that they were given, how far they are ahead of their rate, and what they came
//! to.
//!
//! Turns are given out by one counter for all CPUs: a counter for each would let every CPU begin with the same
//! backend, and the packets of a few clients often enter on one or two CPUs. It costs a shared cache line for each new
//! flow of a Service that goes round, and nothing for others.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use svclb_common::{
    family::Family,
    layout::{BOTH, capacity, row_of},
    service::{Entrance, Frontend, ServiceId, Turn, turn as rated},
};

use crate::{agent::MMAPABLE, load::add, observe};

/// New flows by service cell of either family.
#[btf_map]
static ENTRANCES: Array<Entrance, { BOTH * capacity::SERVICES }, MMAPABLE> = Array::new();

/// Counts a new flow by the kind of its frontend.
#[inline(always)]
pub(crate) fn count<F: Family>(frontend: Frontend) {
    const FLOWS: usize = core::mem::offset_of!(Entrance, flows) / size_of::<u64>();
    if let Some(entrance) = ENTRANCES.get_ptr_mut(row_of(F::AF, frontend.service)) {
        add(entrance.cast::<u64>().wrapping_add(FLOWS + Entrance::place(frontend.kind)), 1);
    }
}

/// The next turn of a service.
#[inline(never)]
pub(crate) fn turn<F: Family>(service: ServiceId) -> u64 {
    const TURNS: usize = core::mem::offset_of!(Entrance, turns) / size_of::<u64>();
    let entrance = ENTRANCES.get_ptr_mut(row_of(F::AF, service));
    entrance.map_or(0, |entrance| add(entrance.cast::<u64>().wrapping_add(TURNS), 1))
}

/// Whether a service takes one more new flow, of `rate` a second; if so, it is counted. CPUs that ask at the same time
/// may be taken one each where one was left; those that are added are paid back, so that no more come in the long run.
#[inline(always)]
pub(crate) fn takes<F: Family>(service: ServiceId, rate: u32) -> bool {
    const { assert!(core::mem::offset_of!(Entrance, due) == 0) };
    let Some(due) = ENTRANCES.get_ptr_mut(row_of(F::AF, service)).map(<*mut Entrance>::cast::<u64>) else {
        return true;
    };
    // SAFETY: an element of a map, which lives as long as the program runs and is aligned; one load, one store.
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
