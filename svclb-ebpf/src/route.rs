//! The node's routes, asked by `bpf_fib_lookup`; the map of source addresses.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::bpf_fib_lookup as FibParams, btf_maps::HashMap, helpers::generated::bpf_fib_lookup,
    macros::btf_map,
};
use svclb_common::{
    balance::Route,
    family::{Addr4, Addr6, Address as _, Family, V4, V6},
    layout::capacity,
    wire::{Eth, Mac},
};

use crate::{medium::Medium, xdp::Xdp};

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: usize = 1;

type Sources<A> = HashMap<u32, A, { capacity::SOURCES }, NO_PREALLOC>;

/// The node's IPv4 address by device, for the devices that carry our programs.
#[btf_map(name = "SOURCES_V4")]
static SOURCES_V4: Sources<Addr4> = HashMap::new();
/// The node's IPv6 address by device, for the devices that carry our programs.
#[btf_map(name = "SOURCES_V6")]
static SOURCES_V6: Sources<Addr6> = HashMap::new();

/// The map of a family, and how its addresses lie in the helper's arguments.
pub(crate) trait RouteMaps: Family {
    #[doc(hidden)]
    fn sources() -> &'static Sources<Self::Addr>;
    #[doc(hidden)]
    fn put(params: &mut FibParams, src: Self::Addr, dst: Self::Addr);
    #[doc(hidden)]
    fn source(params: &FibParams) -> Self::Addr;
}

impl RouteMaps for V4 {
    #[inline(always)]
    fn sources() -> &'static Sources<Addr4> {
        &SOURCES_V4
    }

    #[inline(always)]
    fn put(params: &mut FibParams, src: Addr4, dst: Addr4) {
        params.__bindgen_anon_3.ipv4_src = src.0;
        params.__bindgen_anon_4.ipv4_dst = dst.0;
    }

    #[inline(always)]
    fn source(params: &FibParams) -> Addr4 {
        // SAFETY: integers all.
        Addr4(unsafe { params.__bindgen_anon_3.ipv4_src })
    }
}

impl RouteMaps for V6 {
    #[inline(always)]
    fn sources() -> &'static Sources<Addr6> {
        &SOURCES_V6
    }

    #[inline(always)]
    fn put(params: &mut FibParams, src: Addr6, dst: Addr6) {
        params.__bindgen_anon_3.ipv6_src = src.0;
        params.__bindgen_anon_4.ipv6_dst = dst.0;
    }

    #[inline(always)]
    fn source(params: &FibParams) -> Addr6 {
        // SAFETY: as above.
        Addr6(unsafe { params.__bindgen_anon_3.ipv6_src })
    }
}

/// `BPF_FIB_LKUP_RET_*` of `enum bpf_fib_lookup` results (linux/bpf.h).
const SUCCESS: i64 = 0;
const NO_NEIGH: i64 = 7;
const FRAG_NEEDED: i64 = 8;

/// `BPF_FIB_LOOKUP_SRC` (linux/bpf.h): the kernel fills in the source address.
const LOOKUP_SRC: u32 = 1 << 4;

/// Bytes of the helper's arguments.
const PARAMS_LEN: i32 = size_of::<FibParams>().cast_signed() as i32;

/// Beside a device: the packet is larger than it carries.
const TOO_BIG: i64 = 1 << 32;

/// Asks for the way from `src` to `dst`: the device, or a negative number. A
/// function of its own, because the helper's arguments are an eighth of the stack.
#[inline(never)]
fn lookup<F: RouteMaps, M: Medium>(medium: M, src: &F::Addr, dst: &F::Addr) -> i64 {
    let mut params = MaybeUninit::uninit();
    let params = fill::<F, M>(&mut params, medium, *src, *dst);
    // SAFETY: context and arguments are valid, the size is the arguments'.
    match unsafe { bpf_fib_lookup(medium.context(), &raw mut *params, PARAMS_LEN, 0) } {
        SUCCESS | NO_NEIGH => i64::from(params.ifindex),
        FRAG_NEEDED => i64::from(params.ifindex) | TOO_BIG,
        _ => -1,
    }
}

/// Replaces `source` by the address that the node uses towards `dst`, where the kernel
/// tells (Linux 6.7).
#[inline(never)]
fn prefer_source<F: RouteMaps, M: Medium>(medium: M, dst: &F::Addr, source: &mut F::Addr) {
    let mut params = MaybeUninit::uninit();
    let params = fill::<F, M>(&mut params, medium, F::Addr::ZERO, *dst);
    // SAFETY: as above.
    match unsafe { bpf_fib_lookup(medium.context(), &raw mut *params, PARAMS_LEN, LOOKUP_SRC) } {
        SUCCESS | NO_NEIGH | FRAG_NEEDED => *source = F::source(params),
        _ => {}
    }
}

/// The arguments at an alignment that the verifier accepts for 8-byte stores.
#[repr(C, align(8))]
struct Params(FibParams);

/// Fills in the arguments where they lie; a copy would not keep their alignment.
#[inline(always)]
fn fill<F: RouteMaps, M: Medium>(
    params: &mut MaybeUninit<Params>,
    medium: M,
    src: F::Addr,
    dst: F::Addr,
) -> &mut FibParams {
    let words = params.as_mut_ptr().cast::<u64>();
    let mut word = 0;
    while word < size_of::<Params>() / size_of::<u64>() {
        // SAFETY: within the arguments, and aligned as they are. Volatile, so that the
        // compiler does not start at the first field that is not written below: its wide
        // stores would lie across words.
        unsafe { words.add(word).write_volatile(0) };
        word += 1;
    }
    // SAFETY: all zeros are valid arguments.
    let params = unsafe { &mut (*params.as_mut_ptr()).0 };
    params.family = F::AF;
    params.ifindex = medium.ifindex();
    F::put(params, src, dst);
    params
}

/// How the node reaches an address that is not its own. A device that carries none of
/// our programs leads nowhere: the answers would not be translated.
#[inline(always)]
pub(crate) fn route<F: RouteMaps, M: Medium>(medium: M, dst: &F::Addr, source: &mut F::Addr) -> Route {
    *source = F::Addr::ZERO;
    // What is wrong with this packet is not wrong with the route.
    let result = lookup::<F, M>(medium, source, dst) & !TOO_BIG;
    let Ok(ifindex) = u32::try_from(result) else { return Route::None };
    // SAFETY: the value is copied at once.
    let Some(known) = (unsafe { F::sources().get(ifindex) }) else { return Route::None };
    *source = *known;
    prefer_source::<F, M>(medium, dst, source);
    Route::Via
}

/// Where a packet leaves the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// By this device.
    By(u32),
    /// By a device that does not carry packets of this size.
    TooSmall,
    /// Nowhere.
    Nothing,
}

/// The device by which a packet from `src` to `dst` leaves.
#[inline(always)]
pub(crate) fn find<F: RouteMaps, M: Medium>(medium: M, src: &F::Addr, dst: &F::Addr) -> Found {
    let result = lookup::<F, M>(medium, src, dst);
    if result < 0 {
        return Found::Nothing;
    }
    u32::try_from(result).map_or(Found::TooSmall, Found::By)
}

/// The device by which a frame with a packet of `len` bytes from `src` to `dst` leaves, if it can be
/// sent from here and the next hop's address is known, which is written into `eth`; else 0. A function
/// of its own, for the stack's sake.
#[inline(never)]
pub(crate) fn next_hop<F: RouteMaps>(
    frame: Xdp,
    src: &F::Addr,
    dst: &F::Addr,
    len: u16,
    eth: &mut Eth,
) -> u32 {
    let mut params = MaybeUninit::uninit();
    let params = fill::<F, Xdp>(&mut params, frame, *src, *dst);
    // At this hook the kernel compares what it is told with the route's limit.
    params.__bindgen_anon_1.tot_len = len;
    // SAFETY: context and arguments are valid, the size is the arguments'.
    if unsafe { bpf_fib_lookup(frame.context(), &raw mut *params, PARAMS_LEN, 0) } != SUCCESS
        || !frame.reaches(params.ifindex, len)
    {
        return 0;
    }
    copy(&params.dmac, &mut eth.dst);
    copy(&params.smac, &mut eth.src);
    params.ifindex
}

/// Copies an address that lies at two bytes' alignment; wider loads the verifier refuses there.
#[inline(always)]
#[expect(clippy::cast_ptr_alignment, reason = "what is read is aligned, and what is written need not be")]
fn copy(from: &Mac, to: &mut Mac) {
    let (from, to) = (from.as_ptr().cast::<u16>(), to.as_mut_ptr().cast::<u16>());
    let mut word = 0;
    while word < size_of::<Mac>() / size_of::<u16>() {
        // SAFETY: both are six bytes, the first at an even address (linux/bpf.h).
        unsafe { to.add(word).write_unaligned(from.add(word).read_volatile()) };
        word += 1;
    }
}
