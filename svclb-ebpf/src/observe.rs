//! What is told of packets that were not simply translated: counters and events.

use aya_ebpf::{
    btf_maps::{PerCpuArray, RingBuf},
    helpers::generated::bpf_ktime_get_coarse_ns,
    macros::btf_map,
};
use svclb_common::{
    event::Event,
    family::{Address, Family},
    key::FlowKey,
    layout::capacity,
    verdict::{DROP_REASONS, DropReason},
};

/// Packets by reason.
#[btf_map]
static DROPS: PerCpuArray<u64, { DROP_REASONS as usize }> = PerCpuArray::new();

/// Refusals and drops as they happen.
#[btf_map]
static EVENTS: RingBuf<Event, { capacity::EVENTS }> = RingBuf::new();

#[inline(always)]
fn count(reason: DropReason) {
    if let Some(counter) = DROPS.get_ptr_mut(reason as u32) {
        // SAFETY: this CPU's own value.
        unsafe { *counter += 1 };
    }
}

/// Counts and reports a refusal or a drop. `ifindex` is 0 at a socket.
#[inline(never)]
pub(crate) fn report<F: Family>(reason: DropReason, key: &FlowKey<F::Addr>, ifindex: u32) {
    count(reason);
    let Some(mut record) = EVENTS.reserve(0) else {
        count(DropReason::EventLost);
        return;
    };
    record.write(Event {
        time: now(),
        src: wide(key.src),
        dst: wide(key.dst),
        sport: key.sport,
        dport: key.dport,
        family: F::AF,
        proto: key.proto,
        pad: 0,
        reason: reason as u32,
        ifindex,
    });
    record.submit(0);
}

#[inline(always)]
fn wide<A: Address>(addr: A) -> [u8; 16] {
    addr.widen()
}

/// `CLOCK_MONOTONIC_COARSE` in nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_coarse_ns() }
}
