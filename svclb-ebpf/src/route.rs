//! The node's routes, asked by `bpf_fib_lookup`; the map of source addresses.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{bpf_fib_lookup as FibParams, xdp_md},
    btf_maps::{Array, HashMap},
    helpers::generated::bpf_fib_lookup,
    macros::btf_map,
};
use svclb_common::{
    balance::Route,
    cell::Word32,
    dst_cache::moment,
    family::{Addr4, Addr6, Address as _, Family as _, V4, V6},
    flow::{Epoch, Link},
    layout::capacity,
    wire::{Eth, Mac},
};

use crate::{
    agent::MMAPABLE, dst_cache, dst_cache::DstMaps, flow, frontend, frontend::FrontendMaps, kernel::Maps,
    medium::Medium, observe, xdp::Xdp,
};

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: usize = 1;

type Sources<A> = HashMap<u32, A, { capacity::SOURCES }, NO_PREALLOC>;

/// The node's IPv4 address by device, for the devices that carry our programs.
#[btf_map(name = "SOURCES_V4")]
static SOURCES_V4: Sources<Addr4> = HashMap::new();
/// The node's IPv6 address by device, for the devices that carry our programs.
#[btf_map(name = "SOURCES_V6")]
static SOURCES_V6: Sources<Addr6> = HashMap::new();

/// How often the node's routes and neighbours have changed, as far as the agent has heard.
#[btf_map]
static ROUTES: Array<Word32, 1, MMAPABLE> = Array::new();

/// The time for which the way of a flow whose packets come by device `from` counts.
#[inline(always)]
pub(crate) fn epoch(from: u32) -> Epoch {
    Epoch::of(observe::jiffies(), ROUTES.get(0).map_or(0, Word32::load), from)
}

/// The map of a family, and how its addresses lie in the helper's arguments.
pub(crate) trait RouteMaps: DstMaps + FrontendMaps {
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

/// No way.
const NOTHING: i64 = -1;

/// The address is the node's own.
const LOCAL: i64 = i64::MIN;

/// Below: the packet is larger than the way carries, whose bytes are subtracted.
const TOO_BIG: i64 = -2;

/// The size of what fits everywhere. A size of zero would have the kernel judge the packet at hand,
/// by the device alone.
const ANY_SIZE: u16 = 1;

/// Asks for the way of a packet of `size` bytes from `src` to `dst`: the device, or a negative
/// number. A function of its own, because the helper's arguments are an eighth of the stack.
#[inline(never)]
fn lookup<F: RouteMaps, M: Medium>(medium: M, src: &F::Addr, dst: &F::Addr, size: u16) -> i64 {
    let mut params = MaybeUninit::uninit();
    let params = fill::<F, M>(&mut params, medium, *src, *dst, size);
    // SAFETY: context and arguments are valid, the size is the arguments'.
    match unsafe { bpf_fib_lookup(medium.context(), &raw mut *params, PARAMS_LEN, 0) } {
        SUCCESS | NO_NEIGH => i64::from(params.ifindex),
        FRAG_NEEDED => TOO_BIG - i64::from(mtu(params)),
        _ => NOTHING,
    }
}

/// What the way carries, after the kernel has found a packet too big for it.
#[inline(always)]
fn mtu(params: &FibParams) -> u16 {
    // SAFETY: integers all.
    unsafe { params.__bindgen_anon_1.mtu_result }
}

/// The device of the way to `dst`, or a negative number, and the address that the node uses on it, which is left alone
/// where the kernel does not tell (before Linux 6.7). They are asked for if they are not known yet: IPv6 looks at all
/// addresses of the node for the one that it uses.
#[inline(never)]
fn towards<F: RouteMaps, M: Medium>(medium: M, dst: &F::Addr, source: &mut F::Addr) -> i64 {
    let now = epoch(medium.ifindex());
    let moment = moment(observe::jiffies());
    let cached = dst_cache::of::<F>(dst);
    if let Some(cached) = &cached
        && let Some((device, known)) = cached.source(*dst, now, moment)
    {
        *source = known;
        return i64::from(device);
    }
    if frontend::local::<F>(*dst) != 0 {
        return LOCAL;
    }
    let device = ask::<F, M>(medium, dst, source);
    if let Some(cached) = cached
        && device >= 0
    {
        cached.note_source(*dst, now, moment, (device.cast_unsigned() as u32, *source));
    }
    device
}

/// Asks for them.
#[inline(always)]
fn ask<F: RouteMaps, M: Medium>(medium: M, dst: &F::Addr, source: &mut F::Addr) -> i64 {
    let mut params = MaybeUninit::uninit();
    let filled = fill::<F, M>(&mut params, medium, F::Addr::ZERO, *dst, ANY_SIZE);
    // SAFETY: as above.
    let told = unsafe { bpf_fib_lookup(medium.context(), &raw mut *filled, PARAMS_LEN, LOOKUP_SRC) };
    if let SUCCESS | NO_NEIGH = told {
        *source = F::source(filled);
        return i64::from(filled.ifindex);
    }
    let filled = fill::<F, M>(&mut params, medium, F::Addr::ZERO, *dst, ANY_SIZE);
    // SAFETY: as above.
    match unsafe { bpf_fib_lookup(medium.context(), &raw mut *filled, PARAMS_LEN, 0) } {
        SUCCESS | NO_NEIGH => i64::from(filled.ifindex),
        _ => NOTHING,
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
    size: u16,
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
    params.__bindgen_anon_1.tot_len = size;
    F::put(params, src, dst);
    params
}

/// The node's address on a device, if that carries our programs.
#[inline(always)]
pub(crate) fn source_on<F: RouteMaps>(ifindex: u32) -> Option<&'static F::Addr> {
    // SAFETY: should the agent take the entry away, its memory stays an address.
    unsafe { F::sources().get(ifindex) }
}

/// How the node reaches an address. A device that carries none of
/// our programs leads nowhere: the answers would not be translated.
#[inline(always)]
pub(crate) fn route<F: RouteMaps, M: Medium>(medium: M, dst: &F::Addr, source: &mut F::Addr) -> Route {
    *source = F::Addr::ZERO;
    let device = towards::<F, M>(medium, dst, source);
    if device == LOCAL {
        return Route::Local;
    }
    let Ok(ifindex) = u32::try_from(device) else { return Route::None };
    let Some(known) = source_on::<F>(ifindex) else { return Route::None };
    if source.is(F::Addr::ZERO) {
        *source = *known;
    }
    Route::Via
}

/// Where a packet leaves the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// By this device.
    By(u32),
    /// On a way that carries packets of so many bytes only.
    TooSmall(u16),
    /// Nowhere.
    Nothing,
}

/// What a lookup has told.
#[inline(always)]
fn found(result: i64) -> Found {
    match result {
        NOTHING => Found::Nothing,
        ..=TOO_BIG => Found::TooSmall((TOO_BIG - result).cast_unsigned() as u16),
        ifindex => Found::By(ifindex.cast_unsigned() as u32),
    }
}

/// The device by which a packet of `size` bytes from `src` to `dst` leaves.
#[inline(always)]
pub(crate) fn find<F: RouteMaps, M: Medium>(medium: M, src: &F::Addr, dst: &F::Addr, size: u16) -> Found {
    found(lookup::<F, M>(medium, src, dst, size))
}

/// Whether packets of `size` bytes reach `dst`, as far as the node knows of the way.
#[inline(always)]
pub(crate) fn fits<F: RouteMaps, M: Medium>(medium: M, dst: &F::Addr, size: u16) -> bool {
    lookup::<F, M>(medium, &F::Addr::ZERO, dst, size) >= 0
}

/// The device by which a frame of `size` bytes from `src` to `dst` leaves, if it can be sent from here and the next
/// hop's address is known, which is written into `eth`.
#[inline(always)]
pub(crate) fn next_hop<F: Maps>(
    frame: Xdp,
    src: &F::Addr,
    dst: &F::Addr,
    size: u16,
    eth: &mut Eth,
) -> Option<u32> {
    {
        // The function finds the same value in its map, so nobody holds it meanwhile.
        let scratch = flow::scratch::<F>()?;
        (scratch.from, scratch.to) = (*src, *dst);
    }
    let device = if F::AF == V4::AF {
        svclb_next_hop_v4(frame.0, size.into())
    } else {
        svclb_next_hop_v6(frame.0, size.into())
    };
    if device == 0 {
        return None;
    }
    eth.set_link(flow::scratch::<F>()?.link);
    Some(device)
}

/// A function that the verifier follows once: see [`apart`](crate::apart).
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn svclb_next_hop_v4(context: *mut xdp_md, size: u32) -> u32 {
    hop::<V4>(Xdp(context), size as u16).unwrap_or(0)
}

/// The same.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn svclb_next_hop_v6(context: *mut xdp_md, size: u32) -> u32 {
    hop::<V6>(Xdp(context), size as u16).unwrap_or(0)
}

/// [`next_hop`] for the ends in the scratch value, into which the addresses are written. They are asked for if they are
/// not known yet.
#[inline(always)]
fn hop<F: Maps>(frame: Xdp, size: u16) -> Option<u32> {
    let scratch = flow::scratch::<F>()?;
    let now = epoch(frame.ifindex());
    let cached = dst_cache::of::<F>(&scratch.to)?;
    if let Some((device, link)) = cached.hop((scratch.from, scratch.to), now, size)
        && frame.reaches(device, size)
    {
        scratch.link = link;
        return Some(device);
    }
    let mut params = MaybeUninit::uninit();
    let params = fill::<F, Xdp>(&mut params, frame, scratch.from, scratch.to, size);
    // SAFETY: context and arguments are valid, the size is the arguments'.
    match unsafe { bpf_fib_lookup(frame.context(), &raw mut *params, PARAMS_LEN, 0) } {
        SUCCESS if frame.reaches(params.ifindex, size) => {}
        _ => return None,
    }
    let [dst, src] = macs(&mut scratch.link);
    copy(&params.dmac, dst);
    copy(&params.smac, src);
    cached.note_hop((scratch.from, scratch.to), now, size, params.ifindex, scratch.link);
    Some(params.ifindex)
}

/// Link addresses as two of them.
#[inline(always)]
fn macs(link: &mut Link) -> &mut [Mac; 2] {
    const { assert!(size_of::<Link>() == size_of::<[Mac; 2]>()) };
    // SAFETY: as many bytes, which may lie anywhere.
    unsafe { &mut *(&raw mut *link).cast() }
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
