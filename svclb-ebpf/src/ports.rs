//! The maps of searches for source ports that found none, and how they are made.

use aya_ebpf::{
    bindings::BPF_ANY,
    btf_maps::{Array, LruHashMap},
    cty::c_void,
    helpers::generated::bpf_loop,
    macros::btf_map,
};
use svclb_common::{
    balance::{Repeat, STEPS},
    config::BPF_LOOP,
    family::{Addr4, Addr6, Family, V4, V6},
    layout::capacity,
    snat::{PortsKey, PortsMemory, SIGNS},
};

use crate::config;

type Searches<A> = LruHashMap<PortsKey<A>, PortsMemory, { capacity::SEARCHES }>;

/// Searches of IPv4.
#[btf_map(name = "SEARCHES_V4")]
static SEARCHES_V4: Searches<Addr4> = LruHashMap::new();
/// Searches of IPv6.
#[btf_map(name = "SEARCHES_V6")]
static SEARCHES_V6: Searches<Addr6> = LruHashMap::new();

/// Whether a search whose key has this place has ever found none: 1 as long as these tables are. Most nodes have no such,
/// and need not look for what it says.
#[btf_map]
static SEARCHED: Array<u32, { SIGNS as usize }> = Array::new();

/// The map of a family.
pub(crate) trait PortMaps: Family {
    #[doc(hidden)]
    fn searches() -> &'static Searches<Self::Addr>;
}

impl PortMaps for V4 {
    #[inline(always)]
    fn searches() -> &'static Searches<Addr4> {
        &SEARCHES_V4
    }
}

impl PortMaps for V6 {
    #[inline(always)]
    fn searches() -> &'static Searches<Addr6> {
        &SEARCHES_V6
    }
}

/// What is remembered of a search.
#[inline(always)]
pub(crate) fn searched<F: PortMaps>(key: &PortsKey<F::Addr>) -> Option<PortsMemory> {
    if SEARCHED.get(key.place()).is_none_or(|sign| *sign == 0) {
        return None;
    }
    // SAFETY: the value is copied at once.
    unsafe { F::searches().get(key) }.copied()
}

/// Remembers one.
#[inline(always)]
pub(crate) fn keep<F: PortMaps>(key: &PortsKey<F::Addr>, memory: &PortsMemory) {
    if let Some(sign) = SEARCHED.get_ptr_mut(key.place()) {
        // SAFETY: a word to which all CPUs write the same.
        unsafe { sign.write_volatile(1) };
    }
    // What is not remembered is found out again.
    let _written = F::searches().insert(key, memory, BPF_ANY.into());
}

/// Takes so many steps unless one of them is the last, and returns whether it did.
///
/// The verifier follows the steps of `bpf_loop` until they teach it nothing new. Without that helper
/// it follows each of them, so there are a few.
#[inline(always)]
pub(crate) fn repeat<F: Family, R: Repeat<F>>(steps: u32, repeat: &mut R) -> bool {
    if config::is_set(BPF_LOOP) {
        let call: unsafe extern "C" fn(u64, *mut c_void) -> u64 = step::<F, R>;
        // SAFETY: the function takes what `repeat` is, which outlives the call. Should the helper
        // refuse, no step is taken.
        return unsafe { bpf_loop(steps, call as *mut c_void, (&raw mut *repeat).cast(), 0) } >= 0;
    }
    let mut taken = 0_u64;
    while taken < u64::from(STEPS) {
        if taken == u64::from(steps) || repeat.step() {
            return true;
        }
        taken += 1;
    }
    steps == STEPS
}

/// What `bpf_loop` calls: 1 ends it.
///
/// # Safety
/// `repeat` must point to an `R` that nobody else uses.
unsafe extern "C" fn step<F: Family, R: Repeat<F>>(_number: u64, repeat: *mut c_void) -> u64 {
    // SAFETY: so the caller promises.
    u64::from(unsafe { (*repeat.cast::<R>()).step() })
}
