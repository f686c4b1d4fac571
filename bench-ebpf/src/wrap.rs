//! The restore wrapper: puts the frame back as it was, picks the flow of this packet, and calls the program under
//! test in its place.
//!
//! A repeated test run goes on with what the last run left, so that a translated packet would be translated again.

use core::arch::asm;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, xdp_action},
    btf_maps::{Array, ProgramArray},
    helpers::generated::bpf_xdp_adjust_head,
    macros::btf_map,
    programs::{TcContext, XdpContext},
};

use crate::{
    frame::{Bounds, Family},
    template::{BODY, COUNTER, ETHERNET, LEN, MASK, STEP, WORDS},
};

/// The frame.
#[btf_map]
static TEMPLATE: Array<[u64; WORDS], 1> = Array::new();

/// The program under test, for frames.
#[btf_map]
static UNDER_XDP: ProgramArray<1> = ProgramArray::new();

/// The program under test, for socket buffers.
#[btf_map]
static UNDER_TC: ProgramArray<1> = ProgramArray::new();

/// One store of a word's lower part.
macro_rules! put {
    ($frame:expr, $at:expr, $value:expr, $width:ty) => {
        // SAFETY: `restore` has compared the bounds.
        unsafe { $frame.add($at).cast::<$width>().write_unaligned($value as $width) }
    };
}

/// Writes the frame, but for what lies behind the headers. Returns whether it is large enough.
#[inline(always)]
fn restore<F: Family>(template: &[u64; WORDS], bounds: &Bounds) -> bool {
    if bounds.start.wrapping_add(F::HEADERS) > bounds.end {
        return false;
    }
    let frame = bounds.start;
    let flow = u32::to_be((template[COUNTER].wrapping_mul(template[STEP]) & template[MASK]) as u32);
    let word = |number: usize| template[BODY + number];
    let pair = |number: usize, flow: u32| word(number) | (word(number + 1) ^ u64::from(flow)) << 32;
    put!(frame, 0, template[ETHERNET], u32);
    put!(frame, 4, template[ETHERNET + 1], u16);
    put!(frame, 6, template[ETHERNET + 2], u32);
    put!(frame, 10, template[ETHERNET + 3], u16);
    put!(frame, 12, template[ETHERNET + 4], u16);
    put!(frame, 14, word(0), u32);
    put!(frame, 18, word(1), u32);
    if F::IS_V4 {
        put!(frame, 22, word(2), u32);
        put!(frame, 26, word(3) ^ u64::from(flow) | word(4) << 32, u64);
        put!(frame, 34, word(5), u32);
        put!(frame, 38, word(6), u32);
        put!(frame, 42, word(7), u32);
        put!(frame, 46, word(8), u32);
        put!(frame, 50, word(9), u32);
    } else {
        put!(frame, 22, pair(2, flow), u64);
        put!(frame, 30, pair(4, 0), u64);
        put!(frame, 38, pair(6, 0), u64);
        put!(frame, 46, pair(8, 0), u64);
        put!(frame, 54, word(10), u32);
        put!(frame, 58, word(11), u32);
        put!(frame, 62, word(12), u32);
        put!(frame, 66, word(13), u32);
        put!(frame, 70, word(14), u32);
    }
    true
}

/// Counts the packet. The locked instruction drains x86's store buffer as well, so that the program under test reads
/// the frame from the cache and waits for no store of the wrapper.
#[inline(always)]
fn count(template: *mut [u64; WORDS]) {
    // SAFETY: an element of a map, which lives as long as the program runs and is aligned.
    unsafe {
        let counter = template.cast::<u64>().add(COUNTER);
        asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter, one = in(reg) 1_u64);
    }
}

/// Restores a frame whose start a program may have moved, and calls the program under test.
#[inline(always)]
pub(crate) fn xdp<F: Family>(ctx: &XdpContext) -> u32 {
    let Some(template) = TEMPLATE.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: only this CPU runs the wrapper.
    let words = unsafe { &*template };
    let mut bounds = Bounds::of_xdp(ctx);
    let moved = bounds.len().wrapping_sub(words[LEN]).cast_signed();
    if moved != 0 {
        // SAFETY: the context lives as long as the program runs; no pointer into the frame is used any more.
        if unsafe { bpf_xdp_adjust_head(ctx.ctx, moved as i32) } != 0 {
            return xdp_action::XDP_ABORTED;
        }
        bounds = Bounds::of_xdp(ctx);
    }
    if restore::<F>(words, &bounds) {
        count(template);
        // SAFETY: does not return but on failure; nothing here waits to be dropped.
        unsafe { UNDER_XDP.tail_call(ctx, 0) };
    }
    xdp_action::XDP_ABORTED
}

/// Restores a socket buffer, and calls the program under test.
#[inline(always)]
pub(crate) fn tc<F: Family>(ctx: &TcContext) -> i32 {
    let Some(template) = TEMPLATE.get_ptr_mut(0) else { return TC_ACT_SHOT };
    // SAFETY: as above.
    let words = unsafe { &*template };
    if restore::<F>(words, &Bounds::of_tc(ctx)) {
        count(template);
        // SAFETY: as above.
        unsafe { UNDER_TC.tail_call(ctx, 0) };
    }
    TC_ACT_SHOT
}
