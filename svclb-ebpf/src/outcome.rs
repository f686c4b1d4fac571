//! The maps of what backends' flows are and were. Both families share them, since a program may use so many maps and no more.

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray},
    macros::btf_map,
};
use svclb_common::{
    family::Family,
    layout::{BOTH, capacity, row_of},
    service::{BackendId, Load, Outcomes},
    sign::{SIGNS, Sign},
};

use crate::{agent::MMAPABLE, load::add};

/// Flows, packets and bytes by backend cell of either family.
#[btf_map]
static LOADS: PerCpuArray<Load, { BOTH * capacity::BACKENDS }> = PerCpuArray::new();

/// What became of flows, likewise.
#[btf_map]
static OUTCOMES: Array<Outcomes, { BOTH * capacity::BACKENDS }, MMAPABLE> = Array::new();

/// Counts a new flow.
#[inline(always)]
pub(crate) fn count_flow<F: Family>(backend: BackendId) {
    if let Some(load) = LOADS.get_ptr_mut(row_of(F::AF, backend)) {
        // SAFETY: this CPU's own value. A socket call may be interrupted by a packet between
        // load and store; then one of the two is not counted.
        unsafe { (*load).flows += 1 };
    }
}

/// Counts a translated packet.
#[inline(always)]
pub(crate) fn count_packet<F: Family>(backend: BackendId, bytes: u16) {
    if let Some(load) = LOADS.get_ptr_mut(row_of(F::AF, backend)) {
        // SAFETY: as above.
        unsafe {
            (*load).packets += 1;
            (*load).bytes += u64::from(bytes);
        }
    }
}

/// Counts a sign of a backend's flow, by its number.
#[inline(always)]
pub(crate) fn count_sign<F: Family>(backend: BackendId, sign: u32) {
    let place = sign.wrapping_sub(Sign::FIRST);
    if place < SIGNS as u32
        && let Some(outcomes) = OUTCOMES.get_ptr_mut(row_of(F::AF, backend))
    {
        add(outcomes.cast::<u64>().wrapping_add(place as usize & 7), 1);
    }
}
