//! Counters of packets that were not simply translated, and the clocks.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    btf_maps::{LruHashMap, PerCpuArray},
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns},
    macros::btf_map,
};
use svclb_common::{flow::Tick, layout::capacity, service::DeviceReason, verdict::DROP_REASONS};

use crate::load::add;

/// Packets by reason.
#[btf_map]
static DROPS: PerCpuArray<u64, { DROP_REASONS as usize }> = PerCpuArray::new();

/// The same by device, of those that dropped something last.
#[btf_map]
static DEVICE_DROPS: LruHashMap<DeviceReason, u64, { capacity::DEVICE_DROPS }> = LruHashMap::new();

/// Counts a drop by the number of its reason.
#[inline(always)]
pub(crate) fn count(reason: u32) {
    if let Some(counter) = DROPS.get_ptr_mut(reason) {
        // SAFETY: this CPU's own value.
        unsafe { *counter += 1 };
    }
}

/// Counts one of a device.
#[inline(always)]
pub(crate) fn count_of_device(ifindex: u32, reason: u32) {
    let key = DeviceReason { ifindex, reason };
    if DEVICE_DROPS.insert(key, 1, BPF_NOEXIST.into()).is_err()
        && let Some(counter) = DEVICE_DROPS.get_ptr_mut(key)
    {
        add(counter, 1);
    }
}

/// `CLOCK_MONOTONIC_COARSE` in nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// The time at no cost: the verifier puts a load in the helper's place.
#[inline(always)]
pub(crate) fn jiffies() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_jiffies64() }
}

/// The tick of the time.
#[inline(always)]
pub(crate) fn tick() -> Tick {
    Tick::of(jiffies())
}
