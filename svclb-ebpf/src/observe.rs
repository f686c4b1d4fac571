//! What is told of packets that were not simply translated: counters and events.

use aya_ebpf::{
    btf_maps::{PerCpuArray, RingBuf},
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns},
    macros::btf_map,
};
use svclb_common::{
    event::Event,
    family::{Address as _, Family},
    flow::Tick,
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

/// Counts and reports a refusal or a drop of a packet from `src` to `dst`.
#[inline(never)]
pub(crate) fn report<F: Family>(reason: DropReason, src: &F::Addr, dst: &F::Addr, what: What) {
    count(reason);
    let Some(mut record) = EVENTS.reserve(0) else {
        count(DropReason::EventLost);
        return;
    };
    record.write(Event {
        time: now(),
        src: src.widen(),
        dst: dst.widen(),
        sport: what.sport,
        dport: what.dport,
        family: F::AF,
        proto: what.proto,
        pad: 0,
        reason: reason as u32,
        ifindex: what.ifindex,
    });
    record.submit(0);
}

/// The rest of a report, small enough for registers.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct What {
    /// Source port, network byte order.
    pub(crate) sport: u16,
    /// Destination port, network byte order.
    pub(crate) dport: u16,
    /// Device; 0 at a socket.
    pub(crate) ifindex: u32,
    /// IANA protocol number.
    pub(crate) proto: u8,
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
