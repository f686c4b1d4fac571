//! The kernel programs that svclb's hot path is measured with.
//!
//! | module | owns |
//! |---|---|
//! | [`wrap`] | the restore wrapper: the same packet again for every run |
//! | [`template`] | the frame that it restores |
//! | [`floor`] | the least that a load balancer does |
//! | [`block`] | what single steps cost |
//! | [`frame`] | headers and address families |
//! | [`tables`] | the floor's maps |
//!
//! A program that ends in `_xdp` is for frames, one that ends in `_tc` for socket buffers; all take both families.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(unsafe_code, reason = "contexts, packets and maps of the kernel are pointers")]
#![expect(missing_docs, reason = "the attribute macros repeat the entry points without their comments")]
#![expect(clippy::needless_pass_by_value, reason = "the attribute macros hand the context over by value")]
#![expect(unreachable_pub, reason = "a program's entry points are its symbols")]
#![expect(clippy::inline_always, reason = "a floor has no calls")]

mod block;
mod floor;
mod frame;
mod tables;
mod template;
mod wrap;

use aya_ebpf::{
    bindings::{TC_ACT_OK, TC_ACT_SHOT, xdp_action},
    helpers::generated::bpf_xdp_adjust_head,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

use crate::{
    floor::Depth,
    frame::{Bounds, V4, V6},
};

#[xdp(frags)]
pub fn wrap_v4_xdp(ctx: XdpContext) -> u32 {
    wrap::xdp::<V4>(&ctx)
}

#[xdp(frags)]
pub fn wrap_v6_xdp(ctx: XdpContext) -> u32 {
    wrap::xdp::<V6>(&ctx)
}

#[classifier]
pub fn wrap_v4_tc(ctx: TcContext) -> i32 {
    wrap::tc::<V4>(&ctx)
}

#[classifier]
pub fn wrap_v6_tc(ctx: TcContext) -> i32 {
    wrap::tc::<V6>(&ctx)
}

#[inline(always)]
fn floor_xdp_of(ctx: &XdpContext, depth: Depth) -> u32 {
    // SAFETY: the context lives as long as the program runs.
    let ifindex = if depth == Depth::Route { unsafe { (*ctx.ctx).ingress_ifindex } } else { 0 };
    match floor::run(&Bounds::of_xdp(ctx), ctx.ctx.cast(), ifindex, depth) {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_PASS,
    }
}

#[inline(always)]
fn floor_tc_of(ctx: &TcContext, depth: Depth) -> i32 {
    match floor::run(&Bounds::of_tc(ctx), ctx.skb.skb.cast(), 0, depth) {
        Some(()) => TC_ACT_OK,
        None => TC_ACT_SHOT,
    }
}

/// Nothing but a verdict.
#[xdp(frags)]
pub fn verdict_xdp(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// The same with room for the outer header of IPv4, which the wrapper takes away again.
#[xdp(frags)]
pub fn grow20_xdp(ctx: XdpContext) -> u32 {
    // SAFETY: the context lives as long as the program runs.
    let _moved = unsafe { bpf_xdp_adjust_head(ctx.ctx, -20) };
    xdp_action::XDP_TX
}

/// The same for IPv6.
#[xdp(frags)]
pub fn grow40_xdp(ctx: XdpContext) -> u32 {
    // SAFETY: as above.
    let _moved = unsafe { bpf_xdp_adjust_head(ctx.ctx, -40) };
    xdp_action::XDP_TX
}

/// Nothing but a verdict.
#[classifier]
pub fn verdict_tc(_ctx: TcContext) -> i32 {
    TC_ACT_OK
}

/// A program per depth and medium.
macro_rules! floors {
    ($($name:ident: $context:ty => $code:ty, $kind:ident($($option:ident)?), $run:ident, $depth:ident;)+) => {
        $(
            #[$kind$(($option))?]
            pub fn $name(ctx: $context) -> $code {
                $run(&ctx, Depth::$depth)
            }
        )+
    };
}
/// A program per building block, each on top of [`Depth::Parse`].
macro_rules! blocks {
    ($($name:ident: $context:ty => $code:ty, $kind:ident($($option:ident)?), $run:ident, $block:expr;)+) => {
        $(
            #[$kind$(($option))?]
            pub fn $name(ctx: $context) -> $code {
                let code = $run(&ctx, Depth::Parse);
                ($block)(&ctx);
                code
            }
        )+
    };
}
blocks! {
    call_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, |ctx: &XdpContext| block::call(ctx.ctx.cast());
    coarse_clock_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, |_: &XdpContext| block::coarse_clock();
    jiffies_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, |_: &XdpContext| block::jiffies();
    counter_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, |_: &XdpContext| block::counter();
    l4_csum_replace_tc: TcContext => i32, classifier(), floor_tc_of, |ctx: &TcContext| block::l4_csum_replace(ctx.skb.skb);
}
floors! {
    parse_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, Parse;
    service_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, Service;
    floor_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, Translate;
    route_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, Route;
    learn_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, Learn;
    new_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, New;
    new_pair_xdp: XdpContext => u32, xdp(frags), floor_xdp_of, NewPair;
    parse_tc: TcContext => i32, classifier(), floor_tc_of, Parse;
    service_tc: TcContext => i32, classifier(), floor_tc_of, Service;
    floor_tc: TcContext => i32, classifier(), floor_tc_of, Translate;
}

/// The bytecode calls GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
