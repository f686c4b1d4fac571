//! Building blocks: what single steps cost on this machine.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::__sk_buff,
    btf_maps::PerCpuArray,
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_l4_csum_replace},
    macros::btf_map,
};

/// Counters of this CPU.
#[btf_map]
static COUNTERS: PerCpuArray<u64, 1024> = PerCpuArray::new();

/// A call of a function that does next to nothing.
#[inline(never)]
pub(crate) fn call(ctx: *mut c_void) {
    // SAFETY: the first word of either context. Volatile, so that there is something to call for.
    let _word = unsafe { ctx.cast::<u32>().read_volatile() };
}

/// The clock of flows' ages.
#[inline(always)]
pub(crate) fn coarse_clock() {
    // SAFETY: a helper without arguments.
    let _now = unsafe { bpf_ktime_get_coarse_ns() };
}

/// The clock that needs no call.
#[inline(always)]
pub(crate) fn jiffies() {
    // SAFETY: a helper without arguments.
    let _now = unsafe { bpf_jiffies64() };
}

/// One counter of this CPU.
#[inline(always)]
pub(crate) fn counter() {
    if let Some(counter) = COUNTERS.get_ptr_mut(7) {
        // SAFETY: this CPU's own value.
        unsafe { *counter += 1 };
    }
}

/// The change of a transport checksum that the kernel makes: here, of nothing.
#[inline(always)]
pub(crate) fn l4_csum_replace(skb: *mut __sk_buff) {
    // SAFETY: the context lives as long as the program runs; the helper checks the offset.
    let _done = unsafe { bpf_l4_csum_replace(skb, 50, 0, 0, 0) };
}
